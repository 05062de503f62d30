"""How healthy a search is: measurements with a stated cost, a file per measure."""
