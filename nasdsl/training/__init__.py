"""Data, training loops and evaluation: everything that touches images and weights."""
