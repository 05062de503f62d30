"""NAS-Bench-301's configurations of the DARTS space (arXiv 2008.09777), as ConfigSpace lists them.

`NetworkSelectorDatasetInfo:darts:edge_normal_3` is the operation on edge 3 (edges are numbered node
by node, in a node by state: 2, 3, 4 and 5 edges) and `…:inputs_node_normal_4` the two states that
node 4 reads, `0_2`; nodes count from 2. There are seven operations, `none` is not one of them. Two
operations from one state, other outputs than all four nodes, and the order of a node's two edges
have no place here: the first two are refused, edges come back by state. Other keys of the
configuration (learning rate, epochs) are read over.
"""

from __future__ import annotations

import json
import re
from typing import Any

from nasdsl.ir.formats import darts
from nasdsl.ir.formats.form import Form
from nasdsl.ir.formats.literal import read
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import advice, cells
from nasdsl.ir.space import Space

#: The seven operations; the DARTS table has `none` before them, so numbers there are one higher.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

NODES = 4

PREFIX = "NetworkSelectorDatasetInfo:darts:"

_KEY = re.compile(r"(edge|inputs_node)_(normal|reduce)_([0-9]{1,2})", re.ASCII)


def fits(space: Space) -> bool:
    """Whether a space has the two cells of DARTS, four nodes each, all joined by the output."""
    known = cells(space)
    return darts.fits(space) and all(
        c in known and len(known[c].nodes) == NODES and len(known[c].inputs) == 2
        for c in darts.CELLS
    )


def recognises(text: str) -> bool:
    return text.startswith("{") and "NetworkSelectorDatasetInfo" in text


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the key that is wrong."""
    found = read(text)
    if not isinstance(found, dict):
        raise GenotypeError("a configuration is an object with keys `NetworkSelectorDatasetInfo:…`")
    edges: dict[str, dict[int, str]] = {c: {} for c in darts.CELLS}
    inputs: dict[str, dict[int, str]] = {c: {} for c in darts.CELLS}
    for key, value in found.items():
        # YAHPO Gym writes the colons as words.
        name = key.replace("_COLON_", ":").removeprefix(PREFIX)
        match = _KEY.fullmatch(name)
        if match is None:
            if name.startswith(("edge", "inputs")):
                raise GenotypeError(f"unknown key `{key[:80]}`")
            continue
        kind, cell, number = match.group(1), match.group(2), int(match.group(3))
        if not isinstance(value, str):
            raise GenotypeError(f"`{key}` is `{str(value)[:40]}`, not a text")
        (edges if kind == "edge" else inputs)[cell][number] = value
    pairs = {c: _cell(edges[c], inputs[c], c) for c in darts.CELLS}
    return darts.assemble(pairs, space)


def _cell(edges: dict[int, str], inputs: dict[int, str], cell: str) -> list[darts.Pairs]:
    """(operation, state) pairs of a cell by node."""
    found: list[darts.Pairs] = []
    start = 0
    for node in range(2, 2 + NODES):
        given = inputs.pop(node, None)
        if given is None:
            if node > 2:
                raise GenotypeError(f"`{PREFIX}inputs_node_{cell}_{node}` is missing")
            given = "0_1"
        pair = re.fullmatch(r"([0-9])_([0-9])", given)
        if pair is None or not int(pair[1]) < int(pair[2]) < node:
            raise GenotypeError(
                f"`{PREFIX}inputs_node_{cell}_{node}` is `{given[:40]}`; two states below {node} "
                "are wanted, as `0_1`"
            )
        here = []
        for state in (int(pair[1]), int(pair[2])):
            label = edges.pop(start + state, None)
            if label is None:
                raise GenotypeError(
                    f"`{PREFIX}edge_{cell}_{start + state}` is missing: node {node} reads {given}"
                )
            if label not in OPERATIONS:
                raise GenotypeError(
                    f"`{label[:60]}` is no operation of NAS-Bench-301{advice(label, OPERATIONS)}"
                )
            here.append((label, state))
        found.append(here)
        start += node
    for number in edges:
        raise GenotypeError(f"`{PREFIX}edge_{cell}_{number}` is an edge that no node reads")
    for number in inputs:
        raise GenotypeError(f"`{PREFIX}inputs_node_{cell}_{number}` is no node with a choice")
    return found


def pairs_of(genotype: Genotype, space: Space, cell: str) -> list[darts.Pairs]:
    """A cell as four nodes of two edges with the seven operations.

    Raises GenotypeError where the genotype is more than that.
    """
    nodes = darts.edges(genotype, space, cell)
    if sorted(darts.concat(genotype, space, cell)) != list(range(2, 2 + NODES)):
        raise GenotypeError(f"`{cell}_concat` is not all four nodes; this form holds no other")
    for number, pairs in enumerate(nodes, 2):
        if len(pairs) != 2:
            raise GenotypeError(f"node {number} of `{cell}` has {len(pairs)} edges, not two")
        for label, _ in pairs:
            if label not in OPERATIONS:
                raise GenotypeError(f"`{label}` has no number among the seven operations")
    return nodes


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    config: dict[str, Any] = {}
    for cell in darts.CELLS:
        start = 0
        chosen: dict[str, str] = {}
        for node, pairs in enumerate(pairs_of(genotype, space, cell), 2):
            by_state = sorted(pairs, key=lambda p: p[1])
            a, b = (state for _, state in by_state)
            if a == b:
                raise GenotypeError(
                    f"node {node} of `{cell}` reads state {a} twice; NAS-Bench-301 holds one "
                    "operation per edge"
                )
            for label, state in by_state:
                config[f"{PREFIX}edge_{cell}_{start + state}"] = label
            if node > 2:
                chosen[f"{PREFIX}inputs_node_{cell}_{node}"] = f"{a}_{b}"
            start += node
        config.update(chosen)
    return json.dumps(config)


FORM = Form(
    name="nasbench301",
    example='{"NetworkSelectorDatasetInfo:darts:edge_normal_0": "max_pool_3x3", …}',
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
