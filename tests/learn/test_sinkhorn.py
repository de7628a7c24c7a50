"""The Sinkhorn divergence: zero for equal batches, the transport cost of a shift, the gradient of its value."""

import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn.sinkhorn import sinkhorn_divergence


def batch(n, seed, shift=0.0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_equal_batches_cost_nothing_and_others_something():
    x, y = batch(100, 1), batch(100, 2)
    assert float(sinkhorn_divergence(x, x)) == pytest.approx(0, abs=1e-12)
    assert float(sinkhorn_divergence(x, y)) > 0
    assert float(sinkhorn_divergence(x, y)) == pytest.approx(float(sinkhorn_divergence(y, x)), rel=1e-6)


def test_a_shift_costs_half_its_square():
    """Moving all points alike is optimal, for any blur."""
    x, step = batch(200, 1), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    for blur in (0.5, 1.0):
        found = sinkhorn_divergence(x, x + step, blur=blur, iterations=100)
        assert float(found) == pytest.approx(float(step.square().sum()) / 2, rel=1e-3)


def test_the_gradient_is_that_of_the_value():
    x, y, step = batch(40, 1), batch(50, 2, 0.5), 1e-5
    variable = x.clone().requires_grad_()
    sinkhorn_divergence(variable, y, iterations=200).backward()
    for place in ((0, 0), (7, 2)):
        up, down = x.clone(), x.clone()
        up[place] += step
        down[place] -= step
        values = [float(sinkhorn_divergence(one, y, iterations=200)) for one in (up, down)]
        assert float(variable.grad[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3, abs=1e-6)


def test_following_it_downhill_brings_one_sample_to_the_other():
    x, y = batch(150, 1).requires_grad_(), 0.6 * batch(150, 2) + 1.0
    for _ in range(100):
        (slope,) = torch.autograd.grad(sinkhorn_divergence(x, y, blur=0.5), x)
        x = (x - 75 * slope).detach().requires_grad_()
    assert torch.allclose(x.mean(0), y.mean(0), atol=0.02)
    assert torch.allclose(x.std(0), y.std(0), atol=0.06)


def test_bad_input():
    with pytest.raises(InputError, match="shape"):
        sinkhorn_divergence(batch(5, 1), batch(5, 1)[:, :2])
    with pytest.raises(InputError, match="shape"):
        sinkhorn_divergence(batch(5, 1)[:0], batch(5, 1))
    with pytest.raises(InputError, match="blur"):
        sinkhorn_divergence(batch(5, 1), batch(5, 2), blur=0)
