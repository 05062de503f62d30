"""Curvature against dense matrices."""

import pytest
import torch

from nasdsl.oneshot.health.curvature import dense, hessian_product, largest_eigenvalue


@pytest.mark.parametrize("size", [1, 2, 5, 40, 200])
def test_lanczos_finds_the_largest_eigenvalue(size):
    generator = torch.Generator().manual_seed(size)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = a + a.t()
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    found = largest_eigenvalue(lambda v: matrix @ v, start, iterations=size, tolerance=1e-12)
    assert found == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=1e-9)


def test_a_negative_definite_matrix_has_its_eigenvalue_closest_to_zero():
    matrix = -torch.diag(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64))
    start = torch.ones(3, dtype=torch.float64)
    assert largest_eigenvalue(lambda v: matrix @ v, start) == pytest.approx(-1)


def test_the_product_is_that_of_autograds_own_hessian():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(a, b):
        return (a.sin().sum() * b.exp().sum()).square() + (a**3).sum()

    product, size = hessian_product(loss(a, b), [a, b])
    whole = torch.autograd.functional.hessian(loss, (a, b))
    wanted = torch.cat(
        [
            torch.cat([whole[0][0].reshape(6, 6), whole[0][1].reshape(6, 4)], 1),
            torch.cat([whole[1][0].reshape(4, 6), whole[1][1].reshape(4, 4)], 1),
        ]
    )
    assert size == 10
    torch.testing.assert_close(dense(product, size, a), wanted)


def test_a_loss_that_is_linear_has_no_curvature():
    a = torch.randn(3, dtype=torch.float64, requires_grad=True)
    product, size = hessian_product(a.sum(), [a])
    assert largest_eigenvalue(product, torch.ones(size, dtype=torch.float64)) == 0
