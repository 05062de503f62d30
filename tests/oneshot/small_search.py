"""Small searches in float64, and the same search written as one plain loop."""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "regressions"))

from small_runs import TEXT, plan, search  # noqa: E402

HEAD = "recipe base_run extends base.darts {\n  epochs = 2\n  batch = 8\n  arch.lr = 0.01\n}\n"


def recipe(body, name="mine"):
    """The text of a small run whose recipe has further slots."""
    return f"{TEXT}{HEAD}recipe {name} extends base_run {{\n  {body}\n}}\n"


def small(body="", *, seed=0):
    """A search of a recipe in float64."""
    task = search(plan("mine", text=recipe(body)), seed=seed)
    return as_double(task)


def as_double(task):
    """The same search with float64 weights, alphas and images."""
    session = task.session
    session.supernet.double()
    session.arch.double()
    for stream, slot in ((task.train, "next_train"), (task.valid, "next_valid")):
        setattr(session, slot, lambda s=stream: _double(s.next_batch()))
    return task


def _double(batch):
    return batch[0].double(), batch[1]


def steps(task, count):
    """The first steps of a search."""
    made = 0
    for epoch in range(task.epochs):
        length = task.begin(epoch)
        for k in range(length):
            if made < count:
                task.step(epoch, k)
                made += 1


class Plain:
    """A monolithic loop over the pieces of another search of the same seed.

    It has its own optimizers and mixes by softmax; nothing of `nasdsl.oneshot` computes here.
    """

    def __init__(self, task, *, lr, momentum=0.9, decay=3e-4, clip=5.0):
        session = task.session
        self.net, self.alphas = session.supernet, dict(session.arch.alphas())
        self.weights = {n: p for n, p in self.net.named_parameters() if p.requires_grad}
        self.train, self.valid = session.next_train, session.next_valid
        self.lr, self.momentum, self.decay, self.clip = lr, momentum, decay, clip
        self.sgd = torch.optim.SGD(
            self.weights.values(), lr=lr(0), momentum=momentum, weight_decay=decay
        )
        self.adam = torch.optim.Adam(
            self.alphas.values(), lr=0.01, betas=(0.5, 0.999), weight_decay=1e-3
        )
        self.net.train()

    def mix(self):
        return {n: a.softmax(-1) for n, a in self.alphas.items()}

    def loss(self, batch, mix, weights=None):
        x, y = batch
        if weights is None:
            logits = self.net(x, mix)
        else:
            logits = torch.func.functional_call(self.net, weights, (x, mix))
        return F.cross_entropy(logits, y)

    def move_arch(self, grads):
        for alpha, grad in zip(self.alphas.values(), grads, strict=True):
            alpha.grad = grad.detach()
        self.adam.step()

    def move_weights(self, step, batch, mix=None):
        for group in self.sgd.param_groups:
            group["lr"] = self.lr(step)
        if mix is None:
            mix = {n: m.detach() for n, m in self.mix().items()}
        grads = torch.autograd.grad(
            self.loss(batch, mix), list(self.weights.values()), allow_unused=True
        )
        for weight, grad in zip(self.weights.values(), grads, strict=True):
            weight.grad = grad
        nn.utils.clip_grad_norm_(self.weights.values(), self.clip)
        self.sgd.step()


def farthest(a, b):
    """The largest difference between the parameters of two searches."""
    pairs = zip(
        [*a.session.weights.values(), *a.session.alphas.values()],
        [*b.session.weights.values(), *b.session.alphas.values()],
        strict=True,
    )
    return max((p.detach() - q.detach()).abs().max().item() for p, q in pairs)
