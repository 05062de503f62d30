"""Suites: spaces x recipes x data x splits x seeds, run to their end, and what they show."""
