"""Decisions among values and depths: one network that holds every setting of them."""
