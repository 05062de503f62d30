"""Did you mean: near misses among what is legal at a place."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: Among so many words all are compared.
MANY = 400


def nearest(word: str, legal: Iterable[str]) -> str | None:
    """The closest legal word, or None where nothing is close."""
    words = [w for w in dict.fromkeys(legal) if w != word]
    if len(words) > MANY:  # comparing all pairs of a large file would take long
        words = [w for w in words if w[:1] == word[:1] and abs(len(w) - len(word)) < 3][:MANY]
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return close[0]
    folded = {w.lower(): w for w in words}
    return folded.get(word.lower())


def did_you_mean(word: str, legal: Iterable[str], *, limit: int = 12) -> str | None:
    """A help line: the nearest legal word, else all of them where they are few."""
    words = sorted(dict.fromkeys(legal))
    near = nearest(word, words)
    if near is not None:
        return f"did you mean `{near}`?"
    if 0 < len(words) <= limit:
        return "known here: " + ", ".join(words)
    return None
