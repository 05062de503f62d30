"""Where the process begins: a linter should feel like one."""

from __future__ import annotations

import gc


def main() -> None:
    """The command line. Raises SystemExit."""
    # Most commands end before anything is worth collecting; they start a tenth faster so.
    gc.set_threshold(100_000, 20, 20)
    from nasdsl.cli.main import main as run

    run()
