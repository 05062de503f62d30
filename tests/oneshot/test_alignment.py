"""Layer alignment: the central difference against second derivatives by autograd."""

import pytest
import torch
from small_runs import plan, search
from small_search import as_double, recipe, small

from nasdsl.oneshot.gradients.align import score


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def signed(a, b):
    return (a * b).sum() / (a.abs() * b.abs()).sum()


def mean_of_pairs(layers, alike):
    pairs = [alike(layers[i], layers[j]) for j in range(len(layers)) for i in range(j)]
    return torch.stack(pairs).mean()


@pytest.mark.parametrize(("form", "alike"), [("corr", cosine), ("signcorr", signed)])
def test_the_central_difference_is_the_derivative_of_lambda(form, alike):
    """d Lambda / d w by differentiating the layers' gradients once more, in float64."""
    weight = 0.7
    body = f"align = layers({weight}, eps = 1e-6, form = {form}, cells = {{normal}})"
    # Of four layers the first and the last are normal cells.
    text = recipe(body).replace("layers = 3", "layers = 4")
    task = as_double(search(plan("mine", text=text)))
    task.begin(0)
    session = task.session
    session.supernet.train()
    x, y = session.next_train()
    sample = session.sample("weights")
    instances = [s.instance for s in session.supernet.slots if s.table == "normal"]
    assert len(instances) == 2
    spread = session.supernet.spread(sample.mix)
    own = {i: spread[i].detach().clone().requires_grad_() for i in instances}
    loss = session.loss(session.supernet(x, {**sample.mix, **own}), y)
    layers = [g.flatten() for g in torch.autograd.grad(loss, list(own.values()), create_graph=True)]
    names = list(session.weights)
    wanted = torch.autograd.grad(
        mean_of_pairs(layers, alike), list(session.weights.values()), allow_unused=True
    )
    plain = torch.autograd.grad(
        session.loss(session.forward(x, sample), y),
        list(session.weights.values()),
        allow_unused=True,
    )
    found = dict(zip(names, plain, strict=True))
    session.parts.named["align"].on_weights(session, x, y, sample, found)
    size, error = 0.0, 0.0
    for name, slope, second in zip(names, plain, wanted, strict=True):
        if slope is None:
            assert found[name] is None
            continue
        # The weights move along the loss minus weight times Lambda.
        bent = torch.zeros_like(slope) if second is None else second
        size += bent.square().sum().item()
        error += ((slope - found[name]) / weight - bent).square().sum().item()
    assert size > 0
    assert error**0.5 < 1e-4 * size**0.5


def test_a_weight_of_zero_costs_and_changes_nothing():
    task = small("align = layers(0, cells = {normal})")
    task.begin(0)
    session = task.session
    gradients = {n: torch.ones_like(w) for n, w in session.weights.items()}
    session.parts.named["align"].on_weights(session, None, None, None, gradients)
    assert all((g == 1).all() for g in gradients.values())


def test_one_layer_and_dead_layers_give_numbers():
    """One layer has no pair, and a gradient of zero no direction (C72)."""
    one = torch.tensor([1.0, 2.0])
    assert score([one]) == 0
    assert score([one, torch.zeros(2)]) == 0
    assert score([one, 3 * one]).item() == pytest.approx(1)
    assert score([one, -one]).item() == pytest.approx(-1)
