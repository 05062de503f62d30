"""ProxylessNAS: two paths in the architecture step, one in the weight step, and the rescaling."""

import torch
from small_search import small, steps

from nasdsl.codegen.two import Two
from nasdsl.oneshot.parts import ARCH, WEIGHTS

BODY = "sampler = two_path\n  arch = adam(lr = 0.05, betas = [0, 0.999])"


def session():
    task = small(BODY)
    task.begin(0)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(1)
        for alpha in task.session.arch.alphas().values():
            alpha.copy_(torch.randn(alpha.shape, generator=draw, dtype=torch.float64))
    task.session.supernet.train()
    return task.session


def test_the_architecture_step_runs_two_paths_and_the_weight_step_one():
    made = session()
    for role, counts in ((ARCH, {2}), (WEIGHTS, {1})):
        ran = {}
        for name, module in made.supernet.named_modules():
            if name in made.supernet.options:
                decision, label = made.supernet.options[name]
                module.register_forward_hook(
                    lambda *_, d=decision, o=label, r=ran: r.setdefault(d, set()).add(o)
                )
        sample = made.sample(role)
        made.forward(made.next_train()[0], sample)
        assert ran
        assert {len(labels) for labels in ran.values()} == counts
        for name, picks in sample.pick.items():
            mix = sample.mix[name].detach()
            assert torch.equal(mix.sum(1), torch.ones_like(mix.sum(1)))
            assert all(mix[i, p] == 1 for i, p in enumerate(picks))


def test_the_gradient_is_that_of_the_gates_over_the_pair():
    """dL/dalpha_i = sum_j dL/dg_j p_j (delta_ij - p_i), gates as plain leaves."""
    made = session()
    x, y = made.next_valid()
    sample = made.sample(ARCH)
    buffers = {n: b.clone() for n, b in made.supernet.named_buffers()}
    alphas = made.arch.alphas()
    found = torch.autograd.grad(
        made.loss(made.forward(x, sample), y), list(alphas.values()), allow_unused=True
    )
    made.supernet.load_state_dict(buffers, strict=False)
    gates = {n: m.detach().clone().requires_grad_() for n, m in sample.mix.items()}
    slopes = torch.autograd.grad(
        made.loss(made.supernet(x, gates, sample.pick), y), list(gates.values())
    )
    for (name, alpha), grad, slope in zip(alphas.items(), found, slopes, strict=True):
        wanted = torch.zeros_like(alpha)
        for row, pick in enumerate(sample.pick[name]):
            assert isinstance(pick, Two)
            pair = [int(pick), pick.other]
            p = torch.softmax(alpha.detach()[row, pair], 0)
            wanted[row, pair] = p * (slope[row, pair] - (p * slope[row, pair]).sum())
        assert wanted.abs().max() > 0
        assert torch.allclose(grad, wanted, atol=1e-12)


def test_a_move_leaves_the_probabilities_of_all_other_options():
    made = session()
    before = {n: a.detach().softmax(-1) for n, a in made.arch.alphas().items()}
    x, y = made.next_valid()
    sample = made.sample(ARCH)
    loss = made.loss(made.forward(x, sample), y)
    found = torch.autograd.grad(loss, list(made.alphas.values()), allow_unused=True)
    made.move_arch(dict(zip(made.alphas, found, strict=True)))
    for name, alpha in made.arch.alphas().items():
        after = alpha.detach().softmax(-1)
        for row, pick in enumerate(sample.pick[name]):
            pair = [int(pick), pick.other]
            rest = [k for k in range(after.shape[1]) if k not in pair]
            assert torch.allclose(after[row, rest], before[name][row, rest], atol=1e-12)
            assert not torch.allclose(after[row, pair], before[name][row, pair], atol=1e-6)


def test_pairs_are_drawn_by_probability_without_return():
    """The law of the first of two draws without return is softmax; counts within 4 sigma."""
    made = session()
    name = next(iter(made.supernet.tables))
    p = made.arch.detached()[name][0].softmax(-1)
    count = 3000
    hits = torch.zeros_like(p)
    for _ in range(count):
        pick = made.sample(ARCH).pick[name][0]
        hits[[int(pick), pick.other]] += 1
    # P(k is one of the pair) = p_k + sum_j p_j p_k / (1 - p_j).
    wanted = torch.stack(
        [
            p[k] + sum(p[j] * p[k] / (1 - p[j]) for j in range(len(p)) if j != k)
            for k in range(len(p))
        ]
    )
    error = (hits / count - wanted).abs() / (wanted * (1 - wanted) / count).sqrt()
    assert error.max() < 4


def test_a_search_runs_and_selects():
    task = small(BODY)
    before = {n: a.detach().clone() for n, a in task.session.alphas.items()}
    steps(task, 4)
    assert any(not torch.equal(before[n], a) for n, a in task.session.alphas.items())
    assert task.genotype().picks
