"""`python -m nasdsl`."""

from nasdsl.cli.start import main

main()
