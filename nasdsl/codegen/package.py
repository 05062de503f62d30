"""A compiled network as a Python package that needs torch alone.

<folder>/__init__.py          what to import
<folder>/model.py             modules and the generated forward, readable
<folder>/model.safetensors    the weights
<folder>/space.json           tables, slots, digest
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import fx, nn

from nasdsl import disk
from nasdsl.codegen.construction import construction, own
from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.fold import Folded
from nasdsl.codegen.part import Part
from nasdsl.codegen.supernet import Supernet, annotated
from nasdsl.ops.conv import FactorizedReduce, FoldedReduce, Thinned, pointwise
from nasdsl.ops.plain import zeros_beside

_HEAD = '''"""{title}

Written by nasdsl {version} from {source}; needs torch alone.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import torch
from torch import Tensor, device, nn
from torch.nn import functional as F


'''

_READER = '''
def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file: a header in JSON, then raw little-endian values."""
    data = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(bytes(data[8 : 8 + length]))
    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16,
             "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32, "BOOL": torch.bool}
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + n for n in entry["data_offsets"])
        kind, shape = kinds[entry["dtype"]], entry["shape"]
        if start == end:
            found[name] = torch.empty(shape, dtype=kind)
        else:
            found[name] = torch.frombuffer(data[start:end], dtype=kind).reshape(shape).clone()
    return found
'''


def write_supernet(supernet: Supernet, folder: Path, *, source: str, version: str) -> None:
    """Write a dense supernet: `load()` gives a module `f(x, mix)` with the same weights."""
    space = supernet.space
    body = _network(supernet.graph, "Graph", "x, mix")
    tables = {
        t.name: {"decisions": t.decisions, "labels": t.labels} for t in supernet.tables.values()
    }
    slots = [{"instance": s.instance, "decisions": s.decisions} for s in supernet.slots]
    tail = f'''

#: Tables of the mix: a row per decision, a column per option.
TABLES = json.loads(r"""{json.dumps(tables)}""")
#: Cell instances and the decisions each of them reads.
SLOTS = json.loads(r"""{json.dumps(slots)}""")


class Supernet(nn.Module):
    """`supernet(x, mix)`: `mix` maps a table to `(rows, columns)`, or an instance to its own."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()

    def forward(self, x, mix):
        rows = {{d: (t, i) for t, v in TABLES.items() for i, d in enumerate(v["decisions"])}}
        spread = {{}}
        for slot in SLOTS:
            if slot["instance"] in mix:
                spread[slot["instance"]] = mix[slot["instance"]]
                continue
            places = [rows[d] for d in slot["decisions"]]
            first = places[0][0]
            if slot["decisions"] == TABLES[first]["decisions"]:
                spread[slot["instance"]] = mix[first]
            else:
                columns = max(len(TABLES[t]["labels"][i]) for t, i in places)
                spread[slot["instance"]] = torch.stack([mix[t][i, :columns] for t, i in places])
        return self.graph(x, spread)


def uniform_mix(like=None):
    """A mix that weighs all options of a row equally."""
    found = {{}}
    for name, table in TABLES.items():
        widths = [len(row) for row in table["labels"]]
        mix = torch.zeros(len(widths), max(widths))
        for i, width in enumerate(widths):
            mix[i, :width] = 1 / width
        found[name] = mix if like is None else mix.to(like)
    return found


def load():
    """The supernet with its weights."""
    net = Supernet()
    net.graph.load_state_dict(read_weights(Path(__file__).with_name("model.safetensors")))
    return net
'''
    _write(
        folder,
        title=f"The supernet of the search space `{space.name}`.",
        body=body + tail,
        exports=("Supernet", "TABLES", "load", "uniform_mix"),
        state=supernet.graph.state_dict(),
        info={"kind": "supernet", "space": space.name, "tables": tables, "slots": slots},
        source=source,
        version=version,
    )


def write_network(
    net: Discrete | Part | Folded,
    folder: Path,
    *,
    name: str,
    genotype: str,
    source: str,
    version: str,
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Write a network without decisions: `load()` gives a module `f(x)` with the same weights.

    `weights` says in `space.json` where they come from.
    """
    graph = net.plain
    body = _network(graph, "Network", "x")
    tail = '''

def load():
    """The network with its weights, in evaluation mode."""
    net = Network()
    net.load_state_dict(read_weights(Path(__file__).with_name("model.safetensors")))
    return net.eval()
'''
    _write(
        folder,
        title=f"A network of the search space `{name}`: {genotype}",
        body=body + tail,
        exports=("Network", "load"),
        state=graph.state_dict(),
        info={
            "kind": "network",
            "space": name,
            "genotype": genotype,
            "input": {"kind": net.inp.kind, "dims": list(net.inp.dims)},
            **({"weights": dict(weights)} if weights else {}),
        },
        source=source,
        version=version,
    )


def _write(
    folder: Path,
    *,
    title: str,
    body: str,
    exports: tuple[str, ...],
    state: dict[str, Any],
    info: dict[str, Any],
    source: str,
    version: str,
) -> None:
    text = _HEAD.format(title=title, version=version, source=source) + body
    names = ", ".join(sorted(exports))
    listed = ", ".join(f'"{e}"' for e in sorted(exports))
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    about = {"schema": 1, "nasdsl": version, "source": source, **info}
    files = {
        "model.py": text.encode(),
        "__init__.py": (
            f'"""{title}"""\n\nfrom .model import {names}\n\n__all__ = [{listed}]\n'
        ).encode(),
        "model.safetensors": save(tensors),
        "space.json": (json.dumps(about, indent=1) + "\n").encode(),
    }
    made = [] if folder.is_dir() else [folder]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, data in files.items():
            if not (folder / name).exists():
                made.append(folder / name)
            disk.write(folder / name, data)
    except disk.DiskError:
        # Half a package is none; what was there before stays.
        for place in reversed(made):
            place.rmdir() if place.is_dir() else place.unlink(missing_ok=True)
        raise


def _network(graph: fx.GraphModule, name: str, arguments: str) -> str:
    """Source of our own modules, a class that holds all modules, and its forward."""
    used = {type(m) for m in graph.modules() if own(m)}
    if used & {FactorizedReduce, FoldedReduce}:
        used.add(Thinned)
    parts = [inspect.getsource(kind) for kind in sorted(used, key=lambda kind: kind.__name__)]
    if Thinned in used:
        parts.append(inspect.getsource(pointwise))
    forward = annotated(graph)
    if "nasdsl_ops_plain_zeros_beside" in forward:
        # Values of the forward are called `zeros_beside`: the function takes another name.
        parts.append(inspect.getsource(zeros_beside).replace("def zeros_beside", "def zeros_for"))
        forward = forward.replace("nasdsl_ops_plain_zeros_beside", "zeros_for")
    body = forward.replace(f"def forward(self, {arguments}):", "").strip("\n")
    forward = textwrap.indent(body, "    ")
    built: list[str] = []
    lines = []
    for path, module in graph.named_modules():
        inside = any(path.startswith(f"{b}.") for b in built)
        if not path or inside or type(module) is nn.Module:
            continue
        if own(module):
            built.append(path)
        lines.append(f'            ("{path}", {construction(module)}),')
    installed = "\n".join(lines)
    parts.append(
        f'''class {name}(nn.Module):
    """Modules by place and operation; forward as generated, with the line of its source."""

    def __init__(self) -> None:
        super().__init__()
        for path, module in (
{installed}
        ):
            owner = self
            *scopes, last = path.split(".")
            for scope in scopes:
                if scope not in owner._modules:
                    owner.add_module(scope, nn.Module())
                owner = owner._modules[scope]
            owner.add_module(last, module)

    def forward(self, {arguments}):
{forward}
'''
    )
    return "\n\n".join(p.strip("\n") for p in (*parts, _READER)) + "\n"
