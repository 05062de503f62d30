"""The measurements of an epoch, brought to the host in one transfer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nasdsl.codegen.emit import NotExecutable
from nasdsl.ir.config import components
from nasdsl.oneshot.health.measures import Measure
from nasdsl.oneshot.health.probe import untouched
from nasdsl.oneshot.health.table import MEASURES
from nasdsl.oneshot.session import Session


def checkup(
    session: Session,
    epoch: int,
    rows: Mapping[str, Mapping[str, list[float]]],
    *,
    last: bool = False,
) -> dict[str, Any]:
    """What the recipe measures after an epoch (0-based), by name, and the seconds it took.

    After the `last` everything is measured.
    """
    chosen: list[Measure] = [MEASURES[c.name](c) for c in components(session.recipe.get("measure"))]
    due = [m for m in chosen if last or (epoch + 1) % max(1, m.every) == 0]
    if not due:
        return {}
    began = time.perf_counter()
    try:
        found = _values(session, due, rows)
    except NotExecutable as error:
        return {"health": {}, "health_note": str(error)}
    return {"health": found, "health_seconds": round(time.perf_counter() - began, 3)}


def _values(
    session: Session, due: Sequence[Measure], rows: Mapping[str, Mapping[str, list[float]]]
) -> dict[str, float]:
    with untouched(session, rows) as probe:
        scalars = [m.value(probe).detach().double().to(session.device) for m in due]
    return dict(zip([m.name for m in due], torch.stack(scalars).tolist(), strict=True))
