"""What is wrong with a text, said so that its author can mend it."""
