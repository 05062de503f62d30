"""How each operation of the IR computes."""
