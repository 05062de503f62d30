"""What a data source was asked for: its arguments and options, checked as they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from nasdsl.training.data.arrays import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`source(*args, **options)`, with relative paths taken from `base`."""

    source: str
    args: tuple[object, ...]
    options: Mapping[str, object]
    base: Path
    #: What a sample is: `image`, `series`, `features`, `volume`.
    kind: str = "image"

    def only_images(self) -> None:
        """Refuse to be declared as anything else."""
        if self.kind != "image":
            raise DataError(f"{self.source}: holds images; its data set declares {self.kind}")

    def text(self, name: str) -> str | None:
        """The option's value as a text, or None where it is not given."""
        value = self.options.get(name)
        if value is not None and not isinstance(value, str):
            raise DataError(f"{self.source}: `{name}` is {value!r}; expected a text in quotes")
        return value

    def number(self, name: str, default: float) -> float:
        """The option's value as a number."""
        value = self.options.get(name, default)
        if not isinstance(value, int | float | Fraction | Decimal) or isinstance(value, bool):
            raise DataError(f"{self.source}: `{name}` is {value!r}; expected a number")
        return float(value)

    def beside(self, name: str) -> Path | None:
        """The path of an option, against `base`."""
        value = self.text(name)
        return None if value is None else self._below(value)

    def takes(self, *known: str) -> None:
        """Refuse all options but these."""
        for name in self.options:
            if name not in known:
                takes = ", ".join(known) if known else "no options"
                raise DataError(f"{self.source}: unknown option `{name}`; it takes {takes}")

    def takes_nothing(self) -> None:
        if self.args:
            raise DataError(f"{self.source}: takes no arguments; found {self.args!r}")
        self.takes()

    def positive(self, name: str) -> int | None:
        """The option's value as a positive integer, or None where it is not given."""
        value = self.options.get(name)
        if value is None:
            return None
        number = 0
        # The language's numbers are exact fractions, so a whole number need not be an `int`.
        if isinstance(value, int | float | Fraction | Decimal) and value % 1 == 0:
            number = 0 if isinstance(value, bool) else int(value)
        if number < 1:
            raise DataError(f"{self.source}: `{name}` is {value!r}; expected a positive integer")
        return number

    def path(self) -> Path | None:
        """The one optional path argument, against `base`."""
        if len(self.args) > 1 or (self.args and not isinstance(self.args[0], str)):
            raise DataError(
                f"{self.source}: takes at most one path, in quotes; found {self.args!r}"
            )
        if not self.args:
            return None
        return self._below(str(self.args[0]))

    def _below(self, text: str) -> Path:
        given = Path(text)
        # A `.nas` file from elsewhere names paths; none of them climbs out of the data directory.
        if ".." in given.parts:
            raise DataError(f"{self.source}: the path {str(given)!r} may not hold `..`")
        if "\0" in str(given):
            raise DataError(f"{self.source}: {str(given)!r} is no path")
        return self.base / given

    def folder(self) -> Path:
        """The path argument, or `base` where it is not given."""
        return self.path() or self.base
