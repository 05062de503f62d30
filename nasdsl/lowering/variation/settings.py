"""Settings of decisions, how a network is lowered under them, and how they are said."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.space import Network
from nasdsl.lowering.scope import Context

Settings = Mapping[str, str]


#: Lowers the network under settings. Raises Broken with its diagnostics recorded.
Lower = Callable[[Diagnostics, Settings], tuple[Network, Context]]


def said(settings: Settings) -> str:
    """At most three settings in words."""
    said = [f"`{d}` is {label}" for d, label in list(settings.items())[:3]]
    return " and ".join(said) + (" and others differ" if len(settings) > 3 else "")
