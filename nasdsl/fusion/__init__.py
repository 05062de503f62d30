"""From the reference graph of a supernet to faster graphs over the same modules."""
