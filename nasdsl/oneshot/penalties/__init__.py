"""Penalties on the architecture: terms added to its loss, a file per term."""
