"""Passes over cells: a sound space in, a sound space out, a file per graph edit."""
