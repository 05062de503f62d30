"""Cells at their place: inherited statements merged, edges expanded, shapes checked."""
