"""Calls of one network overlap: threads of Python, kept graphs, teams of any size."""

import copy
import threading

import pytest
import torch
from generated_pairs import batch, mixes, needs_compiler, pair, step
from spaces_for_tests import bundled_space, images

pytestmark = needs_compiler


def darts(**parameters):
    given = {"C": 4, "layers": 3, "data": images(size=8), **parameters}
    return bundled_space("darts.nas", "darts", **given)


@pytest.fixture
def threads():
    was = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(was)


@pytest.mark.parametrize("recompute", [False, True])
def test_two_threads_of_python_call_one_network(recompute):
    """Each has images of its own size; nothing of one call shows in another."""
    _, made, _ = pair(darts(), recompute=recompute)
    made.eval()  # in training two calls at once would move the statistics in any order
    mix = mixes(made)
    weights = [*mix.values(), *made.parameters()]
    draw = torch.Generator().manual_seed(0)
    images_of = [
        torch.randn(n, 3, size, size, generator=draw, dtype=torch.float64)
        for n, size in ((3, 8), (2, 12))
    ]

    def one(x):
        return torch.autograd.grad(made(x, mix).square().sum(), weights)

    wanted = [one(x) for x in images_of]
    start, wrong = threading.Barrier(2), []

    def work(k):
        start.wait()
        for _ in range(5):
            found = one(images_of[k])
            if not all(torch.equal(a, b) for a, b in zip(found, wanted[k], strict=True)):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


def test_two_threads_train_with_outputs_of_their_own():
    """The statistics of the batch are those of the call, whoever else is in one."""
    _, made, _ = pair(darts())
    made.train()
    mix = mixes(made)
    with torch.no_grad():
        inputs = [batch(made, seed=k) for k in (0, 1)]
        wanted = [made(x, mix) for x in inputs]
    wrong = []

    def work(k):
        with torch.no_grad():
            for _ in range(5):
                if not torch.equal(made(inputs[k], mix), wanted[k]):
                    wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_results_do_not_vary_from_run_to_run(count, recompute, threads):
    """Bit by bit in float32, forward, backward and statistics, with a team of any one size."""
    threads(count)
    _, made, _ = pair(darts(C=6, layers=1), torch.float32, recompute=recompute)
    x, mix = batch(made, 5, dtype=torch.float32), mixes(made, dtype=torch.float32)
    first = copy.deepcopy(made)
    wanted = step(first, x, mix)
    wanted = (wanted[0], {k: None if g is None else g.clone() for k, g in wanted[1].items()})
    for _ in range(2):
        other = copy.deepcopy(made)
        found = step(other, x, mix)
        assert torch.equal(wanted[0], found[0])
        for name, g in wanted[1].items():
            assert g is None or torch.equal(g, found[1][name]), name
        for (name, a), b in zip(first.named_buffers(), other.buffers(), strict=True):
            assert torch.equal(a, b), name


def test_a_team_computes_what_one_thread_does(threads):
    """Images are divided among threads: sums over them alone are taken in another order."""
    _, made, _ = pair(darts(C=6, layers=1))
    x, mix = batch(made, 5), mixes(made)
    found = []
    for count in (1, 2):
        threads(count)
        out, grads = step(copy.deepcopy(made), x, mix)
        found.append((out, {k: g.clone() for k, g in grads.items() if g is not None}))
    (out, grads), *others = found
    for out2, grads2 in others:
        torch.testing.assert_close(out, out2, rtol=1e-10, atol=1e-12)
        largest = max(g.abs().max() for g in grads.values())
        assert all((g - grads2[k]).abs().max() < 1e-10 * largest for k, g in grads.items())


def test_a_kept_graph_beside_other_calls():
    """Backward twice, with calls of the same network between, and a derivative of it."""
    _, made, _ = pair(darts(layers=1))
    mix = mixes(made)
    weights = [*mix.values(), *made.parameters()]
    loss = made(batch(made), mix).square().sum()
    once = torch.autograd.grad(loss, weights, retain_graph=True)
    made(batch(made, 2, seed=3), mix).sum().backward()
    again = torch.autograd.grad(loss, weights, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    twice = torch.autograd.grad(loss, weights, create_graph=True)
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-9, atol=1e-11)
