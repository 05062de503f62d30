"""The text forms of genotypes, a file per form; `forms.py` reads and writes them all."""
