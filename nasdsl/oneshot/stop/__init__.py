"""Rules that end a search early, a file per rule."""
