"""The neutral JSON, which fits every space: `{"schema": 1, "space": …, "picks": [[…, …], …]}`."""

from __future__ import annotations

from nasdsl.ir.formats.form import Form
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.space import Space


def dumps(genotype: Genotype, space: Space) -> str:
    return genotype.dumps().rstrip("\n")


FORM = Form(
    name="nas",
    example='{"schema": 1, "space": "…", "digest": null, "picks": [["c/x[1]<-a", "skip"]]}',
    fits=lambda space: True,
    recognises=lambda text: text.startswith("{") and '"picks"' in text,
    parse=lambda text, space: loads(text),
    dumps=dumps,
)
