"""Step rules: each owns the whole update of one step, a file per rule."""
