"""Operations at their place: macros expanded, parameters decided, shapes inferred."""
