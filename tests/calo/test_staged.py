"""Showers in two stages: losses and solvers against closed forms, marginals that come back, layers and hits kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepml_nb.calo import make
from hepml_nb.calo.calodiffusion import noise_loss
from hepml_nb.calo.calodream import matching_loss
from hepml_nb.calo.marginals import Marginals, normal
from hepml_nb.calo.velocity import straight_velocity
from hepml_nb.core import InputError
from hepml_nb.learn import integrate, signal_share
from hepml_nb.testing import toy_showers


class Silent(nn.Module):
    """A network that adds nothing."""

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_matching_loss_vanishes_at_the_velocity_towards_one_point():
    """All data at a point c: the velocity at x is (c - x) / (1 - t), and nothing is left to guess."""
    given = torch.Generator().manual_seed(0)
    noise = torch.randn(500, 3, generator=given, dtype=torch.float64)
    t = 0.9 * torch.rand(500, generator=given, dtype=torch.float64)

    def exact(network: nn.Module, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        return (2.0 - x) / (1 - t[:, None])

    point = torch.full_like(noise, 2.0)
    assert matching_loss(Silent(), point, noise, t, noise, exact) < 1e-20
    assert matching_loss(Silent(), point, noise, t, noise) > 1


def test_matching_loss_of_a_gaussian_is_pi_over_two():
    """Normal data: x - noise has the variance 1 / (t^2 + (1 - t)^2) once x_t is known, on average pi / 2."""
    given = torch.Generator().manual_seed(1)
    x, noise = (torch.randn(100_000, 4, generator=given) for _ in range(2))
    loss = float(matching_loss(Silent(), x, noise, torch.rand(len(x), generator=given), x))
    assert loss == pytest.approx(math.pi / 2, abs=0.01)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 3), ("rk4", 4)])
def test_solver_follows_a_gaussian_at_its_order(method: str, order: int):
    """Where data are normal, paths are noise * sqrt(t^2 + (1 - t)^2); the largest error on the way has the order.

    The midpoint rule gains one: with a = s' / s and s^2 = t^2 + (1 - t)^2, its local error of third order is
    -(a'' / 24 + a a' / 4 + a^3 / 6) h^3 x, and a' = 2 / s^2 - 2 a^2 makes that 0.
    """
    noise = torch.randn(50, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return straight_velocity(Silent(), x, t.to(x.dtype), x)

    errors = []
    for steps in (16, 32):
        path = integrate(velocity, noise, steps=steps, method=method)
        widths = [math.hypot(k / steps, 1 - k / steps) for k in range(steps + 1)]
        errors.append(max(float((x - width * noise).abs().max()) for x, width in zip(path, widths, strict=True)))
    assert errors[0] < 0.2
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.5)


def test_noise_loss_of_a_gaussian_is_the_mean_share_of_signal():
    """Normal data: the best guess of the noise is sqrt(1 - a) x_t, which leaves the variance a."""
    given, share = torch.Generator().manual_seed(3), signal_share(100, "cosine").float()
    x, noise = (torch.randn(50_000, 4, generator=given) for _ in range(2))
    step = torch.randint(1, len(share), (len(x),), generator=given)
    loss = float(noise_loss(Silent(), share, x, noise, step, x))
    assert loss == pytest.approx(float(share[step].mean()), rel=0.02)


def test_marginals_come_back_and_are_normal():
    generator = np.random.default_rng(4)
    energies = generator.choice([100.0, 1000.0], 4000)
    values = generator.exponential(1.0, (4000, 2)) * np.log(energies)[:, None]
    values[generator.random(values.shape) < 0.3] = 0
    values = values.astype(np.float32)
    marginals = Marginals([0, 1]).fit(values, energies)
    z = normal(*marginals.intervals(values, energies), torch.Generator().manual_seed(5)).numpy()
    assert np.abs(z.mean(0)).max() < 0.05
    assert np.abs(z.std(0) - 1).max() < 0.05
    back = marginals.values(z, energies)
    inside = np.abs(z) < 3
    assert np.allclose(back[inside], values[inside], rtol=0.02, atol=1e-3)
    with pytest.raises(InputError, match="shape"):
        marginals.fit(values[:, :1], energies)


def test_voxels_keep_layers_and_hits():
    showers = toy_showers(300)
    model = make("calodream").fit(showers, seed=0, untrained=True)
    _, layers, hits = model.draw_layers(showers.energies, 1)
    z = torch.randn(len(showers), model.geometry.voxels, generator=torch.Generator().manual_seed(6))
    made = model.deposits(z, layers, hits, showers.energies)
    offsets, threshold = model.geometry.offsets[:-1], model.geometry.threshold
    assert np.array_equal(np.add.reduceat((made > 0).astype(int), offsets, axis=1), hits)
    # voxels lifted to the threshold are all that a layer may gain
    gained = np.add.reduceat(made.astype(float), offsets, axis=1) - layers
    assert (gained > -1e-3 * (1 + layers)).all()
    assert (gained <= hits * threshold + 1e-3 * (1 + layers)).all()
