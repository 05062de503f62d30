"""Discrete networks against supernets with a one-hot mix; drop-path and the auxiliary head."""

import random

import pytest
import torch
from random_spaces import random_text
from spaces_for_tests import bundled_space, images, space_of
from torch.nn import functional as F

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir import cost, discretize
from nasdsl.ir.formats import forms
from nasdsl.lowering import networks
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Loader, library
from nasdsl.source import Source


def resolved(text, genotype):
    """The target network of a text's space `s` with a genotype."""
    diags = Diagnostics()
    module = Loader(library(), diags).load("test", Source.of("test.nas", text))
    space = networks.space(diags, Flattener(diags), module.names["s"], {}, genotype=genotype)
    diags.check()
    return space.target


def random_genotype(space, seed):
    draw = random.Random(seed)
    mix = {
        table: {d.id: [draw.random() for _ in d.labels] for d in decisions}
        for table, decisions in space.tables().items()
    }
    return discretize.argmax(space, mix)


def without_label(name, labels):
    """`plain_0.x1_a.sep_3x3.conv.weight` without the option's name."""
    parts = name.split(".")
    return ".".join([*parts[:2], *parts[3:]]) if len(parts) > 3 and parts[2] in labels else name


def plain(genotype, space):
    """Whether every input is used, and no picked operation is itself a sum or a concatenation."""
    used = {key for key, label in genotype.picks if label != "none"}
    sources = {(d.id.split("/")[0], d.id.split("<-")[1]) for d in space.decisions}
    return all(
        any(key.startswith(f"{table}/") and key.endswith(f"<-{source}") for key in used)
        for table, source in sources
        if not source.startswith("x")
    ) and not {"branches", "joined"} & {label for _, label in genotype.picks}


def cases():
    for seed in range(16):
        text = random_text(seed)
        if "out  concat(x)" in text and not (" : mean" in text and "keep 2" in text):
            space = space_of(text, "s")
            yield from [(seed, g) for g in range(8) if plain(random_genotype(space, g), space)][:2]


# Of a mean the supernet takes all edges of a node, the network those that stay: not compared.
CASES = list(cases())


def test_there_are_cases_enough():
    assert len(CASES) >= 8


@pytest.mark.parametrize(("seed", "g"), CASES)
def test_a_genotype_equals_the_supernet_with_its_one_hot_mix(seed, g):
    """The same weights, batch-norms with 1 and 0; training mode, gradients of the weights too."""
    text = random_text(seed)
    space = space_of(text, "s")
    genotype = random_genotype(space, g)
    supernet = Supernet(space, seed=seed).double().train()
    net = Discrete(resolved(text, genotype), seed=99).double().train()
    labels = {label for d in space.decisions for label in d.labels}
    mix = {}
    for name, table in supernet.tables.items():
        mix[name] = torch.zeros(table.shape, dtype=torch.float64)
        for row, decision in enumerate(table.decisions):
            for label in genotype.of(decision):
                mix[name][row, table.labels[row].index(label)] = 1
    ours = dict(net.plain.named_parameters())
    copied = set()
    source = {}
    for name, p in supernet.graph.named_parameters():
        parts = name.split(".")
        inside = len(parts) > 3 and parts[2] in labels
        if inside and not picks_of_place(genotype, parts):
            continue
        target = without_label(name, labels)
        with torch.no_grad():
            ours[target].copy_(p)
        copied.add(target)
        source[target] = p
    # What the supernet has not are affine parameters of batch-norm, at 1 and 0.
    for name in set(ours) - copied:
        assert ".bn" in name
        wanted = 1.0 if name.endswith("weight") else 0.0
        assert (ours[name] == wanted).all()
    draw = torch.Generator().manual_seed(g)
    x = torch.randn(4, *space.supernet.inp.dims, generator=draw, dtype=torch.float64)
    y = torch.arange(4) % 5
    a, b = supernet(x, mix), net(x)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    names = sorted(copied)
    left = torch.autograd.grad(F.cross_entropy(a, y), [source[n] for n in names])
    right = torch.autograd.grad(F.cross_entropy(b, y), [ours[n] for n in names])
    for name, u, v in zip(names, left, right, strict=True):
        torch.testing.assert_close(u, v, rtol=1e-7, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def picks_of_place(genotype, parts):
    """Whether the genotype has the option `plain_0.x1_a.sep_3x3…` stands for."""
    table = parts[0].rsplit("_", 1)[0]
    for identity, label in genotype.picks:
        owner, edge = identity.split("/")
        place = edge.replace("[", "").replace("]", "").replace("<-", "_")
        if (owner, place, label) == (table, parts[1], parts[2]):
            return True
    return False


@pytest.mark.parametrize(("seed", "g"), CASES)
def test_parameters_are_those_of_the_cost_rules(seed, g):
    text = random_text(seed)
    space = space_of(text, "s")
    target = resolved(text, random_genotype(space, g))
    with torch.device("meta"):
        net = Discrete(target)
        supernet = Supernet(space)
    assert sum(p.numel() for p in net.parameters()) == cost.of_network(target).params
    assert sum(p.numel() for p in supernet.parameters()) == cost.of_network(space.supernet).params


V1_LIKE = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('dil_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('skip_connect', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)


@pytest.fixture(scope="module")
def network():
    genotype = forms.parse(V1_LIKE, bundled_space("darts.nas", "darts", C=4, layers=3))
    return bundled_space(
        "darts.nas",
        "darts",
        C=4,
        layers=3,
        target={"C": 4, "layers": 3},
        data=images(3, 32, 10),
        genotype=genotype,
    ).target


def test_masks_multiply_the_operations_they_are_named_after(network):
    """A mask per image: an image whose operations are all kept is as without drop-path."""
    net = Discrete(network).double().eval()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 3, 32, 32, generator=draw, dtype=torch.float64)
    ones = net.drop_path_masks(3, 0.0, draw, x)
    assert list(ones) == list(net.droppable)
    base, aux = net.train_step(x, ones)
    assert aux is None
    torch.testing.assert_close(base, net(x))
    for name in net.droppable:
        masks = {k: v.clone() for k, v in ones.items()}
        masks[name][1] = 0
        found, _ = net.train_step(x, masks)
        torch.testing.assert_close(found[[0, 2]], base[[0, 2]])
        assert not torch.allclose(found[1], base[1]), name


def test_a_dropped_operation_gives_zero_to_its_node_and_no_gradient_to_its_weights(network):
    net = Discrete(network).double().eval()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 3, 32, 32, generator=draw, dtype=torch.float64)
    name = "normal_0.x1_prev"
    assert name in net.droppable
    masks = net.drop_path_masks(3, 0.0, draw, x)
    masks[name] = torch.zeros_like(masks[name])
    dropped, _ = net.train_step(x, masks)
    dropped.sum().backward()
    module = net.training_graph.get_submodule(name)
    assert all(p.grad is None or not p.grad.any() for p in module.parameters())
    # The same as an operation that yields zeros.
    handle = net.training_graph.get_submodule(f"{name}.bn_2").register_forward_hook(
        lambda m, i, o: torch.zeros_like(o)
    )
    zeroed = net(x)
    handle.remove()
    torch.testing.assert_close(dropped, zeroed)


def test_masks_are_drawn_from_their_generator_with_the_right_mean(network):
    net = Discrete(network)
    x = torch.zeros(1, 3, 32, 32)
    one, two = (
        net.drop_path_masks(500, 0.2, torch.Generator().manual_seed(3), x) for _ in range(2)
    )
    assert all(torch.equal(one[k], two[k]) for k in one)
    values = torch.stack(list(one.values()))
    assert set(values.unique().tolist()) == {0.0, 1.25}
    n = values.numel()
    assert values.mean().item() == pytest.approx(1, abs=4.5 * 0.5 / n**0.5)


def test_the_auxiliary_head_is_beside_the_network_not_in_it(network):
    """Logits are the same with and without; gradients of the head reach the layers before it."""
    plain, full = Discrete(network, seed=5), Discrete(network, aux=True, seed=5)
    shared = plain.state_dict()
    assert shared.keys() < full.state_dict().keys()
    full.load_state_dict(shared, strict=False)
    plain.eval(), full.eval()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 32, 32, generator=draw)
    masks = full.drop_path_masks(2, 0.0, draw, x)
    logits, aux = full.train_step(x, masks)
    assert logits.shape == aux.shape == (2, 10)
    assert torch.equal(full(x), plain(x))
    torch.testing.assert_close(logits, plain(x))
    aux.sum().backward()
    stage = network.aux.inputs[0]
    names = [s.name for s in network.stages]
    for name, p in full.training_graph.named_parameters():
        first = name.split(".")[0]
        reached = p.grad is not None and p.grad.abs().sum() > 0
        if first in names[stage + 1 :]:
            assert not reached, name
    stem = full.training_graph.get_submodule("stem.conv").weight
    assert stem.grad is not None and stem.grad.any()


def test_open_decisions_and_missing_heads_are_refused():
    space = bundled_space("darts.nas", "darts", C=4, layers=3, data=images(3, 8, 10))
    with pytest.raises(NotExecutable, match="decision"):
        Discrete(space.target)


def test_the_code_of_a_network_names_its_lines(network):
    code = Discrete(network).code
    assert "darts.nas:" in code
    compile(code, "generated", "exec")
    assert "mix" not in code
    assert "keep" not in code


def test_modes_and_moves_reach_both_graphs(network):
    net = Discrete(network, aux=True)
    net.double().eval()
    assert {p.dtype for p in net.plain.parameters()} == {torch.float64}
    assert all(not m.training for m in net.plain.modules() if isinstance(m, torch.nn.BatchNorm2d))
    ours = {id(p) for p in net.parameters()}
    assert {id(p) for p in net.plain.parameters()} <= ours
    assert not any(n.startswith("plain") for n in net.state_dict())
