"""From the graph of a network to a faster one over the same modules."""
