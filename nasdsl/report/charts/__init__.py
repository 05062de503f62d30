"""Charts: a drawing each, with the numbers that are drawn."""
