"""Failures of the parser, told as the mistakes that caused them."""
