"""A space as large as NAS-Bench-201 is one file of under 40 lines, and everything works with it."""

import random
import re
from pathlib import Path

import pytest
import torch

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import cost, genotype
from nasdsl.ir.formats import forms
from nasdsl.ir.sampling import sample
from nasdsl.syntax.formatting.formatter import format_module
from nasdsl.syntax.parser import parse

FILE = Path(__file__).with_name("own_space.nas")


@pytest.fixture(scope="module")
def loaded():
    return driver.load(FILE)


def test_the_file_is_short_and_in_canonical_style(loaded):
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert not loaded.warnings
    parsed = parse(loaded.program.module.source, loaded.program.diags)
    assert format_module(parsed.module) == text


def test_it_has_the_architectures_of_nas_bench_201(loaded):
    assert loaded.program.space("own").size() == 15_625


@pytest.mark.parametrize("seed", range(4))
def test_genotypes_go_out_and_come_back(loaded, seed):
    space = loaded.program.space("own")
    found = sample(space, random.Random(seed))
    text = forms.dumps(found, space)
    assert text.count("~") == 6
    assert forms.parse(text, space).picks == found.picks
    assert genotype.loads(found.dumps()) == found


@pytest.mark.parametrize("seed", range(4))
def test_a_network_is_its_supernet_under_a_one_hot_mix(loaded, seed):
    """With the same weights, in training mode; what the supernet lacks is 1 and 0."""
    program = loaded.program
    space = program.space("own")
    # Operations that no path leads to the output would not be built, so `none` is left out.
    labels = [label for label in space.decisions[0].labels if label != "none"]
    draw = random.Random(seed)
    picks = tuple((d.id, draw.choice(labels)) for d in space.decisions)
    found = genotype.Genotype(space="own", picks=picks)
    supernet = Supernet(space, seed=seed).double().train()
    network = program.space("own", genotype=found).target
    net = Discrete(network, seed=seed + 1).double().train()
    assert sum(p.numel() for p in net.parameters()) == cost.of_network(network).params

    # The modules of `x[2]<-a` are called `x2_a`.
    chosen = {re.sub(r"c/|[][]", "", k).replace("<-", "_"): label for k, label in picks}
    (table,) = supernet.tables.values()
    mix = torch.zeros(table.shape, dtype=torch.float64)
    for row, (decision, label) in enumerate(picks):
        assert table.decisions[row] == decision
        mix[row, table.labels[row].index(label)] = 1
    ours = dict(net.plain.named_parameters())
    for name, value in supernet.graph.named_parameters():
        parts = name.split(".")
        # `c_0.x2_a.conv_3x3.conv.weight` is `c_0.x2_a.conv.weight` where the edge has the option.
        if len(parts) > 3 and parts[2] in labels:
            if chosen[parts[1]] != parts[2]:
                continue
            del parts[2]
        ours.pop(".".join(parts)).data.copy_(value.data)
    assert all(name.rpartition(".")[0].endswith("bn") for name in ours)
    x = torch.randn(3, *network.inp.dims, dtype=torch.float64)
    torch.testing.assert_close(supernet(x, {table.name: mix}), net(x), rtol=1e-9, atol=1e-11)
