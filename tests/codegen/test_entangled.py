"""Widths, kernels, heads, ratios and depths: every sub-network is the stand-alone network."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaces_for_tests import bundled_space, images, space_of
from torch.nn import functional as F
from varied_spaces import BUNDLED, TEXTS, batch_for, one_hot, several, space_named, without_noise

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.inherit import copy_weights, subnetwork
from nasdsl.codegen.supernet import Supernet
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import printer, reader
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.resolve import resolve
from nasdsl.ir.rewrite import held
from nasdsl.ir.verify import verify

LARGE = {"ofa_mobilenet_v3", "gpt_small", "vit_tiny"}
NAMES = [
    *TEXTS,
    *(pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in BUNDLED),
]


def close(a, b, scale=1.0):
    """Equal up to rounding of float64, `scale` the size of what is around."""
    assert torch.allclose(a, b, rtol=1e-11, atol=1e-12 * scale), (a - b).abs().max()


def compare(space, genotypes):
    """Dense and one-path supernets under one-hot mixes, and the network alone."""
    dense = without_noise(Supernet(space).double())
    path = dense.in_mode("one_path")
    assert set(dense.state_dict()) == set(path.state_dict())
    x = batch_for(space)
    kept = copy.deepcopy(dense.state_dict())
    for genotype in genotypes:
        mix, pick = one_hot(dense, genotype)
        mix = {name: rows.requires_grad_() for name, rows in mix.items()}
        for training in (True, False):
            found = []
            for net, extra in ((dense, ()), (path, (pick,))):
                dense.load_state_dict(kept)
                net.train(training)
                alone = without_noise(subnetwork(dense, genotype))
                dense.zero_grad()
                y = net(x, mix, *extra)
                y.square().sum().backward()
                grads = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
                found.append((y.detach(), grads))
                z = alone(x)
                z.square().sum().backward()
                close(y, z)
            close(sum(g.square().sum() for g in found[0][1].values()), squares(alone))
            # Batch statistics of a few values amplify rounding as they amplify gradients.
            largest = 10 * max(g.abs().max() for g in found[1][1].values())
            for name, grad in found[1][1].items():
                close(found[0][1].get(name, torch.zeros_like(grad)), grad, max(largest, 1.0))
        for rows in mix.values():
            assert rows.grad is None or torch.isfinite(rows.grad).all()
        assert any(r.grad is not None and r.grad.abs().sum() > 0 for r in mix.values())


def squares(module):
    return sum(p.grad.square().sum() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_every_subnetwork_is_the_network_alone(name):
    space = space_named(name)
    compare(space, several(space, 10))


@pytest.mark.parametrize("name", ["mobile", "sequence", "forms", "ofa_mobilenet_v3"])
def test_a_genotype_of_the_ir_is_what_lowering_makes_of_it(name):
    from nasdsl.lowering import networks

    space = space_named(name)
    assert verify(space) == []
    assert reader.read_space(printer.print_space(space)) == space
    for genotype in several(space, 10, seed=1):
        if name in TEXTS:
            from varied_spaces import TEXTS as texts

            lowered = lowered_of(networks, texts[name], name, genotype)
        else:
            lowered = space_named(name, genotype=genotype)
        assert resolve(space.target, genotype) == lowered.target


def lowered_of(networks, text, name, genotype):
    from pathlib import Path

    from nasdsl.diagnostics.model import Diagnostics
    from nasdsl.lowering.flattening import Flattener
    from nasdsl.lowering.modules import Loader, library
    from nasdsl.source import Source

    diags = Diagnostics()
    module = Loader(library([Path.cwd()]), diags).load("test", Source.of("test.nas", text))
    made = networks.space(diags, Flattener(diags), module.names[name], genotype=genotype)
    diags.check()
    return made


def test_a_width_that_equals_makes_another_operation():
    """NATS-Bench's skip connection: identity where widths agree, else a convolution."""
    space = space_named("nats_size")
    for same in ("16", "64"):
        picks = tuple((f"c{i}", same) for i in range(1, 6))
        compare(space, [Genotype(space=space.name, picks=picks)])


@pytest.mark.parametrize("name", ["sequence", "mobile"])
def test_rows_of_rounds_that_are_not_reached_may_be_empty(name):
    """A genotype says nothing of them; nothing divides by their weight."""
    space = space_named(name)
    net = Supernet(space).double()
    for genotype in several(space, 4):
        mix, _ = one_hot(net, genotype)
        empty = {
            table: torch.stack(
                [r if genotype.of(d) else 0 * r for d, r in zip(net.tables[table].decisions, rows)]  # noqa: B905
            )
            for table, rows in mix.items()
        }
        net.eval()
        close(net(batch_for(space), empty), net(batch_for(space), mix))


# ---- by hand


def small(body, head="global_avg_pool >> linear(3)"):
    return f"nas 1\nspace s {{\n  width = 4\n  input image(2, 6, 6)\n{body}\n  head {head}\n}}\n"


def test_the_gradient_of_a_mix_is_that_of_the_sum_over_settings():
    """y = sum_ij w_i v_j pad(conv(x; W[:o_i, :, k_j])); dL/dw_i from that formula."""
    space = space_of(
        small("  stage conv(one_of {1, 3}, out = one_of {2, 4})", "flatten >> linear(3)"), "s"
    )
    net = Supernet(space).double()
    x = batch_for(space)
    tables = {t.decisions: name for name, t in net.tables.items()}
    (name,) = tables.values()
    table = net.tables[name]
    mix = {name: torch.rand(table.shape, dtype=torch.float64).requires_grad_()}
    net(x, mix).sum().backward()
    weight = net.graph.get_parameter("conv_0.conv.weight").detach()
    linear = net.graph.get_submodule("head.linear")
    by_hand = mix[name].detach().clone().requires_grad_()
    rows = {d.rpartition(".")[2]: by_hand[i] for i, d in enumerate(table.decisions)}
    y = 0
    for i, k in enumerate((1, 3)):
        for j, out in enumerate((2, 4)):
            edge = (3 - k) // 2
            part = weight[:out, :, edge : 3 - edge, edge : 3 - edge]
            z = F.conv2d(x, part, padding=k // 2)
            z = F.pad(z, (0, 0, 0, 0, 0, 4 - out))
            y = y + rows["kernel"][i] * rows["out"][j] * z
    # The linear map takes a decided number of channels: its columns are mixed in the same way.
    alive = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)
    columns = (rows["out"] @ alive)[None, :, None] * linear.held.weight.detach().view(3, 4, 36)
    F.linear(y.flatten(1), columns.flatten(1), linear.held.bias.detach()).sum().backward()
    close(mix[name].grad, by_hand.grad)


def test_a_repeat_yields_the_weighted_outputs_of_its_rounds():
    """y = sum_d w_d y_d, with y_0 what arrives."""
    space = space_of(
        small(
            "  stem conv(1)\n  repeat int 0..2 { stage conv(3) >> relu }", "flatten >> linear(3)"
        ),
        "s",
    )
    net = Supernet(space).double()
    x = batch_for(space)
    (name,) = net.tables
    w = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    ys = [net.graph.get_submodule("stem.conv")(x)]
    for stage in ("stage_0", "stage_1"):
        ys.append(torch.relu(net.graph.get_submodule(f"{stage}.conv")(ys[-1])))
    y = sum(weight * part for weight, part in zip(w[0], ys, strict=True))
    close(net(x, {name: w}), net.graph.get_submodule("head.linear")(y.flatten(1)))


def test_a_soft_layer_norm_takes_its_statistics_by_weight():
    """m = sum_j p_j o_j; mean = sum m x / sum m, variance alike."""
    text = small("  stem conv(1, out = one_of {2, 4})\n  stage layer_norm", "flatten >> linear(3)")
    space = space_of(text, "s")
    net = Supernet(space).double()
    (name,) = net.tables
    w = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    x = batch_for(space)
    m = torch.tensor([1, 1, 0.75, 0.75], dtype=torch.float64)[None, :, None, None]
    stem = net.graph.get_submodule("stem.conv").held.weight
    z = F.conv2d(x, stem) * m
    mean = (m * z).sum(1, keepdim=True) / m.sum()
    variance = (m * (z - mean) ** 2).sum(1, keepdim=True) / m.sum()
    normed = m * (z - mean) / (variance + 1e-5).sqrt()
    head = net.graph.get_submodule("head.linear")
    masked = head.held.weight.view(3, 4, 36) * m.view(1, 4, 1)
    close(net(x, {name: w}), F.linear(normed.flatten(1), masked.flatten(1), head.held.bias))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_kernels_widths_and_joins(data):
    odd = st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3, unique=True)
    widths = st.lists(st.integers(2, 5), min_size=1, max_size=3, unique=True)

    def one_of(values):
        return "one_of {" + ", ".join(map(str, values)) + "}"

    a, b, c = (one_of(data.draw(widths)) for _ in range(3))
    k, j = one_of(data.draw(odd)), one_of(data.draw(odd))
    after = data.draw(st.sampled_from(["bn", "relu", "layer_norm", "bn >> max_pool(3)"]))
    stride = data.draw(st.sampled_from([1, 2]))
    text = small(
        f"  let a = {a}\n  let b = {b}\n"
        f"  stage concat(conv({k}, out = a, stride = {stride}) >> {after}, "
        f"conv(3, out = b, stride = {stride}, bias = true) >> relu)\n"
        f"  stage dwconv({j}) >> bn\n"
        f"  stage conv(1, out = {c}) >> {after}",
        "flatten >> linear(3)",
    )
    space = space_of(text, "s")
    if not any(hasattr(op, "decisions") for op in held(space.supernet)):
        return
    compare(space, several(space, 2, seed=data.draw(st.integers(0, 9))))


# ---- limits


def test_extents_that_are_decided_run_in_one_path_mode_only():
    text = small("  stage conv(3, stride = one_of {1, 2})")
    space = space_of(text, "s")
    with pytest.raises(NotExecutable, match="extents"):
        Supernet(space)
    path = Supernet(space, mode="one_path").double().eval()
    for genotype in several(space, 4):
        mix, pick = one_hot(path, genotype)
        x = batch_for(space)
        close(path(x, mix, pick), subnetwork(path, genotype)(x))


def test_a_cell_that_looks_back_over_decided_rounds_is_refused():
    text = """nas 1
space s {
  cell c {
    in   a, b
    node x
    edge {a, b} -> x : one_of {conv(1), conv(3)}
    out  x
  }
  width = 4
  input image(3, 8, 8)
  stem conv(3)
  repeat int 1..2 { stage conv(3) }
  stage c
  head global_avg_pool >> linear(3)
}
"""
    with pytest.raises(NotExecutable, match="looks back"):
        Supernet(space_of(text, "s"))


def test_a_pick_that_is_missing_is_named():
    space = space_named("mobile")
    net = Supernet(space)
    with pytest.raises(GenotypeError, match="`w`"):
        subnetwork(net, Genotype(space="mobile", picks=()))


def test_weights_go_into_the_target_where_shapes_agree():
    """The retrained network has affine batch-norms in its cells; those have nothing to inherit."""
    space = space_named("cells")
    genotype = several(space, 1, seed=5)[0]
    net = Supernet(space)
    target = Discrete(resolve(space.target, genotype))
    missing = copy_weights(net, target, genotype)
    names = dict(target.named_parameters())
    assert missing
    assert all(".bn" in n for n in missing)
    alone = subnetwork(net, genotype)
    same = dict(alone.named_parameters())
    for name, value in names.items():
        short = name.removeprefix("training_graph.")
        if short not in missing:
            assert torch.equal(value, same[name])


def test_copies_and_casts_keep_weights_and_options_together():
    space = space_named("mobile")
    net = copy.deepcopy(Supernet(space)).double()
    genotype = several(space, 1)[0]
    mix, pick = one_hot(net, genotype)
    x = batch_for(space)
    net.eval()
    close(net(x, mix), net.in_mode("one_path").eval()(x, mix, pick))
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    close(net(x, mix), subnetwork(net, genotype)(x))


def test_numbers_of_a_domain_are_what_a_genotype_says():
    data = BUNDLED["tabular"][1]
    space = bundled_space("small.nas", "tabular", data=data)
    rates = [o.get("p") for o in held(space.supernet) if getattr(o, "kind", "") == "dropout"]
    assert rates == [0.25] * 6 or all(
        o.get("p") == 0.25
        for v in held(space.supernet)
        for o in getattr(v, "options", ())
        if o.kind == "dropout"
    )
    (first,) = [d for d in every(space) if d.endswith("round[1].p")]
    picks = ((first, "0.125"), ("body[1]", "1"))
    made = bundled_space(
        "small.nas", "tabular", data=data, genotype=Genotype(space="tabular", picks=picks)
    )
    assert [p.get("p") for p in held(made.target) if p.kind == "dropout"] == [0.125]
    for text in ("0.75", "nan", "1/8", "-0.1"):
        with pytest.raises(CompileError, match="E221"):
            bundled_space(
                "small.nas",
                "tabular",
                data=data,
                genotype=Genotype(space="tabular", picks=((first, text),)),
            )


def every(space):
    found = {}

    def go(decisions):
        for decision in decisions:
            found[decision.id] = decision
            for below in decision.nested:
                go(below)

    go(space.decisions)
    return found


def test_spaces_without_such_decisions_have_nothing_that_varies():
    space = bundled_space("darts.nas", "darts", C=4, layers=3, data=images(3, 8, 10))
    assert all(type(op).__name__ == "Prim" for op in held(space.supernet))
    assert all(not stage.rounds for stage in space.supernet.stages)
