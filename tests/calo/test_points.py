"""Hits become points and hits again; diffusion and set networks do what their papers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepml_nb.calo import Showers
from hepml_nb.calo.edm import SIGMA_MAX, denoised, edm_loss, heun, noise_levels
from hepml_nb.calo.epic import EpicNet
from hepml_nb.calo.points import PointCoordinates, PointNumbers, Points
from hepml_nb.core import InputError
from hepml_nb.testing import toy_showers


@pytest.fixture(scope="module")
def showers() -> Showers:
    return toy_showers(300, 3)


@pytest.fixture(scope="module")
def coordinates(showers: Showers) -> PointCoordinates:
    return PointCoordinates(showers.geometry).fit(showers)


def test_points_are_hits(showers: Showers, coordinates: PointCoordinates) -> None:
    points = coordinates.points(showers)
    assert points.values.shape == ((showers.deposits > 0).sum(), 4)
    np.testing.assert_array_equal(points.lengths, (showers.deposits > 0).sum(axis=1))
    np.testing.assert_array_equal(showers.hits.sum(axis=1), points.lengths)


def test_showers_come_back_from_their_points(showers: Showers, coordinates: PointCoordinates) -> None:
    points, generator = coordinates.points(showers), np.random.default_rng(0)
    order = np.lexsort((generator.random(len(points.values)), points.owner))  # within a shower, points have no order
    shuffled = Points(points.values[order], points.lengths)
    back = coordinates.deposits(shuffled, showers.hits, showers.layers)
    np.testing.assert_allclose(back, showers.deposits, rtol=1e-4, atol=1e-3)


def test_layers_keep_their_energy_wherever_points_lie(showers: Showers, coordinates: PointCoordinates) -> None:
    points, generator = coordinates.points(showers), np.random.default_rng(1)
    values = points.values * np.array([0.3, 0.3, 1, 0]) + np.array([0, 0, 0, 1]) * generator.normal(size=(1, 4))
    made = coordinates.deposits(Points(values, points.lengths), showers.hits, showers.layers)
    layers = Showers(showers.energies, made, showers.geometry).layers
    np.testing.assert_allclose(layers, showers.layers, rtol=1e-4, atol=1e-3)


def test_points_beyond_the_calorimeter_are_dropped(showers: Showers, coordinates: PointCoordinates) -> None:
    far = Points(np.array([[50.0, 0, 0.5, 0], [0, 0, 0.6, 0]]), np.array([2]))
    made = coordinates.deposits(far, np.array([[2, 0, 0, 0]]), np.array([[7.0, 0, 0, 0]]))
    assert (made > 0).sum() == 1
    assert made.sum() == pytest.approx(7)


def test_points_that_share_voxels_are_asked_for() -> None:
    rng = np.random.default_rng(2)
    points = rng.integers(5, 150, 4000)
    hits = 100 * (1 - (1 - 1 / 100) ** points)  # expected voxels hit of a hundred
    counts = np.column_stack([hits // 2, hits - hits // 2])
    asked = PointNumbers().fit(points, hits)(counts).sum(axis=1)
    np.testing.assert_allclose(asked, points, rtol=0.05, atol=2)


def test_an_empty_layer_asks_for_no_point() -> None:
    numbers = PointNumbers().fit(np.arange(1, 50), np.arange(1, 50))
    np.testing.assert_array_equal(numbers(np.array([[0, 7], [3, 0]])), [[0, 7], [3, 0]])


def gaussian(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Return the network with which `denoised` is exact for standard normal data: the clean x is x / (1 + s^2)."""
    return torch.zeros_like(x)


def test_the_known_denoiser_draws_the_known_distribution() -> None:
    torch.manual_seed(0)
    drawn = heun(gaussian, torch.randn(20_000, 1, dtype=torch.float64) * SIGMA_MAX, 40)
    assert abs(float(drawn.std()) - 1) < 0.02
    assert abs(float(drawn.mean())) < 0.03


def test_more_steps_of_heun_come_closer() -> None:
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None] * SIGMA_MAX
    exact = start / (1 + SIGMA_MAX**2) ** 0.5  # dx/ds = s x / (1 + s^2)
    off = [float((heun(gaussian, start, steps) - exact).abs().max()) for steps in (5, 10, 20, 40)]
    assert off == sorted(off, reverse=True)
    assert off[3] < off[2] / 2.5  # of second order


def test_the_known_denoiser_has_the_least_loss() -> None:
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn(4000, 2, generator=generator), torch.randn(4000, 2, generator=generator)
    sigma = torch.randn(4000, generator=generator).exp()
    best = float(edm_loss(gaussian, x, sigma, noise).mean())
    assert best == pytest.approx(1, abs=0.05)  # the weight makes it 1 at every level
    for shift in (-0.3, 0.3):
        assert float(edm_loss(lambda y, _, by=shift: torch.full_like(y, by), x, sigma, noise).mean()) > best + 0.05


def test_without_noise_nothing_is_changed() -> None:
    x = torch.randn(5, 3)
    clean = denoised(lambda y, _: torch.ones_like(y), x, torch.full((5,), 1e-6))
    torch.testing.assert_close(clean, x, atol=1e-5, rtol=0)


def test_levels_fall_to_zero() -> None:
    levels = noise_levels(7)
    assert len(levels) == 8
    assert (levels.diff() < 0).all()
    assert levels[0] == pytest.approx(80)
    with pytest.raises(InputError, match="steps"):
        noise_levels(0)


def test_epic_knows_no_order_and_no_other_shower() -> None:
    torch.manual_seed(3)
    net, x, lengths = EpicNet(2, 8, 4, 2), torch.randn(7, 4), torch.tensor([4, 3])
    t, context, owner = torch.rand(2), torch.randn(2, 2), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    out = net(x, t, context, lengths, owner)
    order = torch.tensor([2, 0, 3, 1, 5, 6, 4])
    torch.testing.assert_close(net(x[order], t, context, lengths, owner), out[order])
    alone = net(x[:4], t[:1], context[:1], lengths[:1], owner[:4])
    torch.testing.assert_close(alone, out[:4])
    moved = x.clone()
    moved[0] += 1
    assert (net(moved, t, context, lengths, owner)[1:4] - out[1:4]).abs().min() > 0  # points know of each other
