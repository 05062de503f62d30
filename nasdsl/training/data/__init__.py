"""Data sets read, split, normalized, augmented and batched; nothing here knows a network."""
