"""From text to syntax tree and back: the only package that imports lark."""
