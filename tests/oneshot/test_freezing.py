"""OLES: gradients of both batches at the same weights, and options that stop moving."""

import torch
from small_runs import copies, equal_states, plan, run, search
from small_search import Plain, farthest, recipe, small, steps
from test_steps import rate
from torch import nn

EVERY, BELOW = 2, -0.15


def options(task):
    """Weights of every option that has some, by the prefix of their names."""
    found = {}
    for prefix in task.session.supernet.options:
        names = [n for n in task.session.weights if n.startswith(prefix + ".")]
        if names:
            found[prefix] = names
    return found


def cosine(a, b):
    """The mean over all but the first axis of the cosines along the first."""
    top = (a * b).sum(dim=0)
    return (top / (a.square().sum(dim=0).sqrt() * b.square().sum(dim=0).sqrt())).mean().item()


class PlainOles(Plain):
    """The whole search with separate backward passes, sums on the host, and a list of the frozen."""

    def search(self, groups, count):
        names = list(self.weights)
        sums, seen = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0)
        self.frozen, self.scores = set(), []
        for step in range(count):
            held = self.valid()
            mix = self.mix()
            alphas = list(self.alphas.values())
            loss = self.loss(held, mix)
            moves = torch.autograd.grad(loss, alphas, retain_graph=True)
            clean = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
            clean = dict(zip(names, clean, strict=True))
            self.move_arch(moves)
            batch = self.train()
            mix = {n: m.detach() for n, m in self.mix().items()}
            slopes = torch.autograd.grad(
                self.loss(batch, mix), list(self.weights.values()), allow_unused=True
            )
            slopes = dict(zip(names, slopes, strict=True))
            for prefix, members in groups.items():
                scores = [
                    cosine(clean[n], slopes[n])
                    for n in members
                    if clean[n] is not None and slopes[n] is not None
                ]
                if scores:
                    sums[prefix] += sum(scores) / len(scores)
                    seen[prefix] += 1
            if (step + 1) % EVERY == 0:
                for prefix in groups:
                    if seen[prefix]:
                        self.scores.append(sums[prefix] / seen[prefix])
                        if self.scores[-1] < BELOW:
                            self.frozen.add(prefix)
                sums, seen = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0)
            still = {n for p in self.frozen for n in groups[p]}
            for name, weight in self.weights.items():
                weight.grad = None if name in still else slopes[name]
            for group in self.sgd.param_groups:
                group["lr"] = self.lr(step)
            nn.utils.clip_grad_norm_(self.weights.values(), self.clip)
            self.sgd.step()


def body(every=EVERY, below=BELOW):
    return f"epochs = 4\n  freeze = alignment(every = {every}, below = {below})"


def four(step):
    return rate(step, epochs=4)


def test_a_whole_search_is_the_plain_loop():
    task, other = small(body()), small(body())
    steps(task, 8)
    plain = PlainOles(other, lr=four)
    plain.search(options(other), 8)
    rule = task.session.parts.named["freeze"]
    assert rule.frozen == plain.frozen
    assert 0 < len(plain.frozen) < len(options(other))
    assert farthest(task, other) < 1e-6


def test_the_score_is_the_cosine_of_clean_gradients():
    task, other = small(body(every=1)), small(body(every=1))
    before = small(body(every=1))
    steps(task, 1)
    plain = Plain(other, lr=four)
    held, batch = plain.valid(), plain.train()
    names = list(plain.weights)
    mix = plain.mix()
    loss = plain.loss(held, mix)
    grads = torch.autograd.grad(loss, list(plain.alphas.values()), retain_graph=True)
    clean = torch.autograd.grad(loss, list(plain.weights.values()), allow_unused=True)
    plain.move_arch(grads)
    slopes = torch.autograd.grad(
        plain.loss(batch, {n: m.detach() for n, m in plain.mix().items()}),
        list(plain.weights.values()),
        allow_unused=True,
    )
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
