"""From syntax tree to IR: names, inheritance, values, shapes, decisions."""
