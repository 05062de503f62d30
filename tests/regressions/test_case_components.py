"""Faults of published components that may not come back: penalties, thresholds, clips, scores."""

import math
from types import SimpleNamespace

import pytest
import torch
from small_runs import TEXT, plan, run, search

from nasdsl.codegen.supernet import Table
from nasdsl.oneshot.gradients.align import directions, score
from nasdsl.oneshot.penalties.mixes import ZeroOne
from nasdsl.oneshot.perturb.noise import uniform
from nasdsl.oneshot.perturb.simplex import clip_rows


def zero_one(alphas, norm):
    """The penalty and its gradient in alpha, under sigmoid."""
    alpha = torch.tensor([alphas], dtype=torch.float64, requires_grad=True)
    labels = tuple("abcdefg"[: len(alphas)])
    session = SimpleNamespace(
        supernet=SimpleNamespace(tables={"t": Table("t", ("d",), (labels,))}),
        now=lambda value, slot: float(value),
    )
    value = ZeroOne(1, norm).value(session, {}, {"t": alpha.sigmoid()})
    return value.item(), torch.autograd.grad(value, alpha)[0][0]


# ---- C69: the zero-one loss of FairDARTS


def test_the_zero_one_loss_has_the_published_form_and_sign():
    value, slope = zero_one([2, 2, -3], "l2")
    assert value == pytest.approx(-0.164945, abs=1e-6)
    # Against the gradient each weight moves away from a half.
    assert slope[0] < 0 < slope[2]
    assert zero_one([2, 2, -3], "l1")[0] == pytest.approx(-0.404723, abs=1e-6)
    assert zero_one([0, 0, 0], "l2")[0] == 0
    assert zero_one([50, -50], "l2")[0] == pytest.approx(-0.25)


# ---- C70: several options or none on an edge


def favoured(rows):
    """A search by thresholds whose normal cell has these alphas."""
    text = f"{TEXT}recipe mine extends sigmoid {{\n  select = threshold(0.85, at_most = 3)\n}}\n"
    task = search(plan("mine", text=text))
    table = task.session.supernet.tables["normal"]
    assert table.labels[0] == ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")
    with torch.no_grad():
        for row, values in zip(task.session.arch.alphas()["normal"], rows, strict=True):
            row.copy_(torch.tensor(values))
    kept = [(d, label) for d, label in task.genotype().picks if d.startswith("normal/")]
    return table.decisions, kept


def test_an_edge_keeps_two_options_and_the_other_is_cut():
    """Weights 0.8808, 0.8808 and 0.0474 on one edge, 0.0474 on the other."""
    (a, b), kept = favoured([[-3.0, 2.0, 2.0, -3.0], [-3.0, -3.0, -3.0, -3.0]])
    assert set(kept) == {(a, "max_pool_3x3"), (a, "skip_connect")}


def test_a_node_without_any_option_keeps_its_strongest():
    (a, b), kept = favoured([[9.0, -4.0, -3.0, -2.5], [9.0, -3.0, -3.0, -3.0]])
    assert kept == [(a, "sep_conv_3x3")]


# ---- C71: the clip of SDARTS and where the noise is added


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ([0.5, -0.2, 0.9], [0.357143, 0.0, 0.642857]),
        ([-0.3, -0.1], [0.0, 1.0]),
        ([0.25, 0.75], [0.25, 0.75]),
    ],
)
def test_a_clipped_row_is_a_distribution(row, wanted):
    table = Table("t", ("d",), (tuple("abc"[: len(row)]),))
    found = clip_rows(torch.tensor([row], dtype=torch.float64), table)[0]
    assert found.tolist() == pytest.approx(wanted, abs=1e-6)


def test_noise_is_added_to_weights_and_stays_in_its_box():
    mix = {"t": torch.full((200, 7), 1 / 7, dtype=torch.float64)}
    noise = uniform(mix, 0.03, torch.Generator().manual_seed(0))["t"]
    assert noise.abs().max() <= 0.03
    assert noise.abs().max() > 0.029
    assert noise.min() < 0 < noise.max()


# ---- C72: layer alignment with one layer or a dead one


def test_alignment_of_few_or_dead_layers_is_a_number():
    layers = [torch.tensor(g) for g in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])]
    assert score(layers).item() == pytest.approx(math.sqrt(2) / 3)
    assert score(layers[:1]) == 0
    dead = [layers[0], torch.zeros(2)]
    assert score(dead) == 0
    for form in ("corr", "signcorr"):
        assert all(d.isfinite().all() for d in directions(dead, form))


def test_a_search_of_one_cell_has_nothing_to_align():
    text = f"{TEXT}recipe mine extends soft {{\n  align = layers(0.1, cells = {{normal}})\n}}\n"
    task = search(plan("mine", text=text))
    assert len([s for s in task.session.supernet.slots if s.table == "normal"]) == 1
    records = run(task)
    assert math.isfinite(records[-1]["train"]["loss"])


# ---- C73: freezing only where a recipe asks for it


def test_a_plain_search_freezes_nothing():
    task = search(plan("soft"))
    before = {n: w.detach().clone() for n, w in task.session.weights.items()}
    run(task)
    assert all(w.requires_grad for w in task.session.weights.values())
    still = [n for n, w in task.session.weights.items() if torch.equal(w, before[n])]
    assert still == []
