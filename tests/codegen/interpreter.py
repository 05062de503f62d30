"""A second implementation of networks, straight from the IR: formulas and torch functions only.

Weights are read by name from a state dict; nodes are computed when the output asks for them.
"""

import torch
from torch.nn import functional as F

from nasdsl.ir.cell import After, Arrival, Cell
from nasdsl.ir.op import Choice, Nested, Par, Prim, Seq


def plain_name(name):
    return name.replace("[", "").replace("]", "")


def numbered(parts):
    """`relu, conv, relu_2`, as the modules of a sequence are called."""
    seen, names = {}, []
    for part in parts:
        base = part.kind if isinstance(part, Prim) else "branches" if isinstance(part, Par) else "?"
        base = "branch" if isinstance(part, Seq) else base
        seen[base] = seen.get(base, 0) + 1
        names.append(base if seen[base] == 1 else f"{base}_{seen[base]}")
    return names


class Interpreter:
    """`run(x)` in training mode; `state` holds tensors by name and is updated by batch-norm."""

    def __init__(self, network, state, mixes, rows):
        self.network, self.state, self.mixes, self.rows = network, state, mixes, rows

    def run(self, x):
        values = {-1: x}
        for i, stage in enumerate(self.network.stages):
            arriving = [values[j] for j in stage.inputs]
            if isinstance(stage.body, Cell):
                values[i] = self.cell(stage.body, arriving, stage.name, stage.name)
            else:
                values[i] = self.op(stage.body, arriving[-1], stage.name, stage.name)
        return values[len(self.network.stages) - 1]

    # ---- cells

    def cell(self, cell, arriving, path, instance):
        found = {}
        for entry, x in zip(cell.inputs, arriving, strict=True):
            found[entry.name] = self.op(entry.prepare, x, f"{path}.{entry.name}", instance)
        nodes = {n.name: n for n in cell.nodes}

        def edge(e):
            place = f"{path}.{plain_name(e.target)}_{plain_name(e.source)}"
            made = self.op(e.op, value(e.source), place, instance)
            if not any(e.target in pick.targets for pick in cell.picks):
                return made
            row = self.mixes[instance][self.rows[f"{cell.table}/{e.target}<-*"]]
            return row[[k for k in cell.edges if k.target == e.target].index(e)] * made

        def value(name):
            if name not in found:
                node = nodes[name]
                arrivals = [edge(e) for e in cell.edges if e.target == name]
                if node.how == "concat":
                    made = torch.cat(arrivals, dim=1)
                else:
                    made = torch.stack(arrivals)
                    made = {"sum": made.sum, "mean": made.mean, "mul": made.prod}[node.how](0)
                found[name] = self.op(node.after, made, f"{path}.{plain_name(name)}", instance)
            return found[name]

        through = {e.source: e for e in cell.edges if e.target == "out"}

        def output(out):
            if isinstance(out, Arrival):
                return edge(through[out.node]) if out.node in through else value(out.node)
            if isinstance(out, After):
                return self.op(out.op, output(out.inner), f"{path}.out", instance)
            parts = [output(p) for p in out.parts]
            if out.how == "split":
                least, more = cell.width // len(parts), cell.width % len(parts)
                parts = [p[:, : least + (i < more)] for i, p in enumerate(parts)]
            if out.how in ("concat", "split"):
                return torch.cat(parts, dim=1)
            return torch.stack(parts).sum(0)

        return output(cell.output)

    # ---- operations

    def op(self, op, x, path, instance):
        match op:
            case Prim():
                return self.prim(op, x, f"{path}.{op.kind}")
            case Seq():
                for part, name in zip(op.parts, numbered(op.parts), strict=True):
                    if isinstance(part, Prim):
                        x = self.prim(part, x, f"{path}.{name}")
                    else:
                        x = self.op(part, x, f"{path}.{name}", instance)
                return x
            case Par():
                results = [
                    self.op(part, x, f"{path}.{name}", instance)
                    for part, name in zip(op.parts, numbered(op.parts), strict=True)
                ]
                if op.how == "concat":
                    return torch.cat(results, dim=1)
                return torch.stack(results).sum(0)
            case Choice():
                row = self.mixes[instance][self.rows[op.decision]]
                total = 0
                for k, (label, option) in enumerate(zip(op.labels, op.options, strict=True)):
                    total = total + row[k] * self.op(option, x, f"{path}.{label}", instance)
                return total
            case Nested():
                inner = f"{path}.{op.cell.name}"
                return self.cell(op.cell, [x], inner, inner)

    def prim(self, prim, x, path):
        get = dict(prim.attrs).get

        def weight(name):
            return self.state[f"{path}.{name}"]

        match prim.kind:
            case "identity":
                return x
            case "none":
                return torch.zeros(len(x), *prim.out.dims, dtype=x.dtype)
            case "relu":
                return x.clamp(min=0)
            case "tanh":
                return (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
            case "silu":
                return x / (1 + (-x).exp())
            case "conv" | "dwconv":
                return F.conv2d(
                    x,
                    weight("weight"),
                    weight("bias") if get("bias") else None,
                    stride=get("stride"),
                    padding=get("pad"),
                    dilation=get("dilation"),
                    groups=x.shape[1] if prim.kind == "dwconv" else get("groups"),
                )
            case "linear":
                return x @ weight("weight").t() + weight("bias")
            case "bn":
                scale = (weight("weight"), weight("bias")) if get("affine") else None
                return self.normalise(x, path, get("momentum"), get("eps"), scale)
            case "max_pool":
                return F.max_pool2d(x, get("kernel"), get("stride"), get("pad"))
            case "avg_pool":
                kernel = torch.ones(x.shape[1], 1, *get("kernel"), dtype=x.dtype)
                options = {"stride": get("stride"), "padding": get("pad"), "groups": x.shape[1]}
                return F.conv2d(x, kernel, **options) / F.conv2d(
                    torch.ones_like(x), kernel, **options
                )
            case "global_avg_pool":
                return x.sum((2, 3)) / (x.shape[2] * x.shape[3])
            case "factorized_reduce":
                y = x.clamp(min=0)
                y = F.pad(y, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
                even, odd = y[:, :, 0::2, 0::2], y[:, :, 1::2, 1::2]
                a = torch.einsum("oi,nihw->nohw", weight("conv1.weight")[:, :, 0, 0], even)
                b = torch.einsum("oi,nihw->nohw", weight("conv2.weight")[:, :, 0, 0], odd)
                scale = (weight("bn.weight"), weight("bn.bias")) if get("affine") else None
                return self.normalise(torch.cat([a, b], 1), f"{path}.bn", 0.1, 1e-5, scale)
            case "squeeze_excite":
                s = x.mean((2, 3)) @ weight("squeeze.weight").t() + weight("squeeze.bias")
                s = s.clamp(min=0) @ weight("expand.weight").t() + weight("expand.bias")
                return x * ((s + 3).clamp(0, 6) / 6)[:, :, None, None]
            case other:
                raise NotImplementedError(other)

    def normalise(self, x, path, momentum, eps, scale):
        count = x.numel() // x.shape[1]
        mean = x.mean((0, 2, 3))
        centred = x - mean[:, None, None]
        variance = (centred**2).mean((0, 2, 3))
        with torch.no_grad():
            for name, now in (("mean", mean), ("var", variance * count / (count - 1))):
                old = self.state[f"{path}.running_{name}"]
                self.state[f"{path}.running_{name}"] = (1 - momentum) * old + momentum * now
        y = centred / (variance + eps).sqrt()[:, None, None]
        return y if scale is None else y * scale[0][:, None, None] + scale[1][:, None, None]
