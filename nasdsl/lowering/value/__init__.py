"""Values of spaces: numbers, conditions, shapes, sets, and decisions among them."""
