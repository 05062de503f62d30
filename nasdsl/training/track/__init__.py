"""Trackers of runs outside of the run folder."""
