"""A declarative graph-compiler toolkit for gradient-based one-shot neural architecture search."""

__version__ = "0.1.0"
