"""Checks of a space, a message per violation; `nasdsl.ir.verify` runs them all."""
