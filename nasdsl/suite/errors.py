"""What can be wrong with a suite that a user can mend."""

from __future__ import annotations


class SuiteError(ValueError):
    """A suite cannot be planned, run or read as it is."""


class Damaged(SuiteError):
    """The store of a suite is not what was written; it can be made again from the cells' folders."""
