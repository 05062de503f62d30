"""OLES: gradients of both batches at the same weights, and options that stop moving."""

import torch
from small_runs import copies, equal_states, plan, run, search
from small_search import farthest, recipe, small, steps

from nasdsl.training.coupling.alignment import BELOW, EVERY, PlainOles, cosine, options
from nasdsl.training.coupling.plain import Plain


def body(every=EVERY, below=BELOW):
    return f"epochs = 4\n  freeze = alignment(every = {every}, below = {below})"


def test_a_whole_search_is_the_plain_loop():
    task, other = small(body()), small(body())
    steps(task, 8)
    plain = PlainOles(other)
    plain.search()
    rule = task.session.parts.named["freeze"]
    assert rule.frozen == plain.frozen
    assert 0 < len(plain.frozen) < len(options(other))
    assert farthest(task, other) < 1e-6


def test_the_score_is_the_cosine_of_clean_gradients():
    task, other = small(body(every=1)), small(body(every=1))
    before = small(body(every=1))
    steps(task, 1)
    plain = Plain(other)
    held, batch = plain.valid(), plain.train()
    names = list(plain.weights)
    mix = plain.mix()
    loss = plain.loss(held, mix)
    grads = torch.autograd.grad(loss, list(plain.alphas.values()), retain_graph=True)
    clean = torch.autograd.grad(loss, list(plain.weights.values()), allow_unused=True)
    plain.move_arch(grads)
    slopes = plain.slopes(batch, plain.held())
    clean, slopes = dict(zip(names, clean, strict=True)), dict(zip(names, slopes, strict=True))
    wanted = {
        prefix: sum(cosine(clean[n], slopes[n]) for n in members) / len(members)
        for prefix, members in options(before).items()
        if all(clean[n] is not None and slopes[n] is not None for n in members)
    }
    assert len(wanted) >= 2
    frozen = task.session.parts.named["freeze"].frozen
    assert frozen == {prefix for prefix, score in wanted.items() if score < BELOW}


def test_a_frozen_option_stops_moving_for_good():
    """Neither momentum nor decay moves it once it is frozen; everything else goes on."""
    task = small(body(every=2, below=2.0))  # a cosine is at most one: all freeze at the second step
    steps(task, 2)
    session = task.session
    members = {n for names in options(task).values() for n in names}
    assert session.parts.named["freeze"].frozen == set(options(task))
    before = copies(session.weights)
    task.step(1, 0)
    task.step(1, 1)
    after = copies(session.weights)
    assert members
    assert all(torch.equal(before[n], after[n]) for n in members)
    assert any(not torch.equal(before[n], after[n]) for n in before if n not in members)


def test_without_the_component_nothing_freezes():
    """Scores are taken only where a recipe asks for them (C73)."""
    task = small()
    assert task.session.parts.gradient_rules == ()


def test_frozen_options_and_scores_resume():
    made = plan("mine", text=recipe("freeze = alignment(every = 3, below = 0.5)"))
    whole, first = search(made), search(made)
    run(whole)
    run(first, 2)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=2)
    assert whole.session.parts.named["freeze"].steps == 4
    assert equal_states(whole, rest)
