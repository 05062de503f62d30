"""Searches that only ask what an architecture is worth: one file per method."""
