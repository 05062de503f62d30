"""Selection rules: from a searched supernet to an architecture, a file per rule."""
