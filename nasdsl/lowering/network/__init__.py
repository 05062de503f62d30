"""One network of a space: stages in order, running width and stride, repeats, heads."""
