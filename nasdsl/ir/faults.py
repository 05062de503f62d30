"""Which line of a user's plugin an error comes from."""

from __future__ import annotations

import traceback
from collections.abc import Collection


def line_of(error: BaseException, files: Collection[str]) -> str | None:
    """`FILE:LINE: in f: text of the line`, of the innermost frame in one of the files.

    Where the error was raised from another one, that one is asked, too.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SyntaxError) and seen.filename in files:
            return f"{seen.filename}:{seen.lineno}: {(seen.text or '').strip()}"
        for frame in reversed(traceback.extract_tb(seen.__traceback__)):
            if frame.filename in files:
                text = f": {frame.line}" if frame.line else ""
                return f"{frame.filename}:{frame.lineno}: in {frame.name}{text}"
        seen = seen.__cause__ or seen.__context__
    return None
