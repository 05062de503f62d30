"""`python -m nasdsl`."""

from nasdsl.cli.main import main

main()
