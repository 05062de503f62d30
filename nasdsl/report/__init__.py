"""Tables and drawings for people and programs."""
