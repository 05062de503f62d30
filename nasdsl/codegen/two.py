"""A pick with a second option beside it, that runs for its gradient alone."""

from __future__ import annotations


class Two(int):
    """The picked option of a row, and `other`, an option whose weight is zero.

    Everywhere but in a choice between operations this is the picked option alone.
    """

    other: int

    @classmethod
    def of(cls, pick: int, other: int) -> Two:
        made = cls(pick)
        made.other = other
        return made
