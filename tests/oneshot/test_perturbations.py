"""SDARTS: the mix of the weight step moves, and nothing else does."""

import pytest
import torch
from small_runs import copies, equal, equal_states, plan, run, search
from small_search import recipe, small, steps

BODIES = {
    "random": "perturb = random(eps = 0.3)",
    "adversarial": "perturb = adversarial(eps = 0.3, steps = 7)",
}


def moved(task):
    """A batch with the mix before and after the perturbation."""
    session = task.session
    session.supernet.train()
    x, y = session.next_train()
    sample = session.sample("weights")
    return x, y, sample, session.parts.perturb.apply(session, x, y, sample)


@pytest.mark.parametrize("name", BODIES)
def test_alphas_and_running_statistics_stay_and_the_mix_is_a_distribution(name):
    task = small(BODIES[name])
    task.begin(0)
    session = task.session
    alphas = copies(session.alphas)
    buffers = copies(dict(session.supernet.named_buffers()))
    x, y, before, after = moved(task)
    assert equal(alphas, copies(session.alphas))
    assert equal(buffers, copies(dict(session.supernet.named_buffers())))
    assert session.supernet.training
    for table, mix in after.mix.items():
        assert not mix.requires_grad
        assert not torch.equal(mix, before.mix[table])
        assert (mix >= 0).all()
        torch.testing.assert_close(mix.sum(dim=1), torch.ones(len(mix), dtype=mix.dtype))


@pytest.mark.parametrize("eps", [0.03, 0.3])
def test_the_adversary_does_not_lower_the_loss(eps):
    task = small(f"perturb = adversarial(eps = {eps}, steps = 7)")
    task.begin(0)
    session = task.session
    gains = []
    for _ in range(2):
        x, y, before, after = moved(task)
        session.supernet.eval()
        with torch.no_grad():
            losses = [session.loss(session.forward(x, s), y).item() for s in (before, after)]
        gains.append(losses[1] - losses[0])
    assert min(gains) >= 0
    assert max(gains) > 0


def test_no_box_no_noise():
    for body in ("perturb = random(eps = 0)", "perturb = adversarial(eps = 0, steps = 3)"):
        task = small(body)
        task.begin(0)
        _, _, before, after = moved(task)
        for table, mix in after.mix.items():
            torch.testing.assert_close(mix, before.mix[table])


def test_the_perturbed_mix_is_gone_after_the_step():
    """The architecture step of a perturbed search is that of a plain one with the same weights."""
    noisy, plain = small(BODIES["random"]), small()
    for task in (noisy, plain):
        steps(task, 1)
    # The first architecture step comes before any weight has moved.
    assert equal(copies(noisy.session.alphas), copies(plain.session.alphas))
    assert not equal(copies(noisy.session.weights), copies(plain.session.weights))


@pytest.mark.parametrize("name", BODIES)
def test_noise_resumes(name):
    made = plan("mine", text=recipe(BODIES[name]))
    whole, first = search(made), search(made)
    run(whole)
    run(first, 2)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=2)
    assert equal_states(whole, rest)
