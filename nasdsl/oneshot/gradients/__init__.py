"""Rules that look at, or change, the gradients of a step, a file per rule."""
