"""How recipe components behave around the step."""
