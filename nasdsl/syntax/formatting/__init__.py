"""The canonical text of a syntax tree, a file per idea; `formatter` is the way in."""
