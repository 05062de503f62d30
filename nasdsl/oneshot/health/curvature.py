"""The largest eigenvalue of the validation loss's Hessian in the alphas (RobustDARTS, 1909.09656).

By Lanczos on exact Hessian-vector products; the dense matrix is the oracle of the tests. A value
costs one forward, one backward, and a double backward per iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


def hessian_product(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Product, int]:
    """v -> H v of a loss on the parameters, flattened, and their number; the graph is kept."""
    found = torch.autograd.grad(loss, list(parameters), create_graph=True, allow_unused=True)
    pairs = [
        (g if g is not None else torch.zeros_like(p))
        for p, g in zip(parameters, found, strict=True)
    ]
    flat = torch.cat([g.reshape(-1) for g in pairs])

    def product(v: Tensor) -> Tensor:
        if not flat.requires_grad:
            return torch.zeros_like(v)
        again = torch.autograd.grad(
            flat, list(parameters), grad_outputs=v, retain_graph=True, allow_unused=True
        )
        return torch.cat(
            [
                (a if a is not None else torch.zeros_like(p)).reshape(-1)
                for p, a in zip(parameters, again, strict=True)
            ]
        )

    return product, flat.numel()


def largest_eigenvalue(
    product: Product, start: Tensor, *, iterations: int = 30, tolerance: float = 1e-6
) -> float:
    """The largest eigenvalue (by value) of a symmetric matrix, by Lanczos with full
    re-orthogonalization from a start vector; exact after as many iterations as it has rows.
    """
    q = start / start.norm()
    basis: list[Tensor] = []
    diagonal: list[Tensor] = []
    off: list[Tensor] = []
    best = float("-inf")
    for _ in range(min(iterations, start.numel())):
        basis.append(q)
        w = product(q)
        diagonal.append(q.dot(w))
        # Twice: once is not enough in finite precision.
        for _ in range(2):
            stacked = torch.stack(basis)
            w = w - stacked.t() @ (stacked @ w)
        size = len(diagonal)
        tri = torch.diag(torch.stack(diagonal))
        for i in range(size - 1):
            tri[i, i + 1] = tri[i + 1, i] = off[i]
        now = float(torch.linalg.eigvalsh(tri.double())[-1])
        norm = w.norm()
        if float(norm) < 1e-12 or abs(now - best) <= tolerance * max(1.0, abs(now)):
            return now
        best = now
        off.append(norm)
        q = w / norm
    return best


def dense(product: Product, size: int, like: Tensor) -> Tensor:
    """The matrix itself, column by column: for tests and for few alphas."""
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    return torch.stack([product(column) for column in eye], dim=1)


def largest_on_device(product: Product, start: Tensor, *, iterations: int) -> Tensor:
    """The largest eigenvalue as a scalar tensor: Lanczos as above, without asking the host.

    All iterations are made; behind an exhausted Krylov space rows stay zero, and their diagonal
    takes the first Rayleigh quotient, which never exceeds the largest eigenvalue.
    """
    count = min(iterations, start.numel())
    q = start / start.norm()
    basis: list[Tensor] = []
    diagonal: list[Tensor] = []
    off: list[Tensor] = []
    first = q.dot(product(q))
    alive = torch.ones((), dtype=torch.bool, device=start.device)
    for _ in range(count):
        basis.append(q)
        w = product(q)
        diagonal.append(torch.where(alive, q.dot(w), first))
        for _ in range(2):
            stacked = torch.stack(basis)
            w = w - stacked.t() @ (stacked @ w)
        norm = w.norm()
        scale = torch.stack(diagonal).abs().max()
        alive = alive & (norm > 1e-6 * scale)
        off.append(torch.where(alive, norm, torch.zeros_like(norm)))
        q = torch.where(alive, w / norm.clamp(min=1e-30), torch.zeros_like(w))
    tri = torch.diag(torch.stack(diagonal).double())
    if count > 1:
        beside = torch.stack(off[: count - 1]).double()
        tri = tri + torch.diag(beside, 1) + torch.diag(beside, -1)
    return torch.linalg.eigvalsh(tri)[-1]
