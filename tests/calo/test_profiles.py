"""Depth, width, response and resolution come out as they were put in, on showers of exact profiles."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb import calo
from hepml_nb.calo import Showers, profiles
from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import geometry

CALO = geometry("calochallenge-2")


def exact(a: float, b: float, energies: np.ndarray, radius: float = 10.0) -> Showers:
    """Return showers with a gamma profile in depth and energy within r of r^2 / (r^2 + radius^2), to 41.85 mm."""
    share = profiles.GammaProfile(a, b, 0.9).between(profiles.depth_edges(CALO))
    edges = np.array(CALO.layers[0].r_edges)
    rings = np.diff(edges**2 / (edges**2 + radius**2))
    one = share[:, None, None] * np.full(16, 1 / 16)[:, None] * (rings / rings.sum())
    return Showers(energies, energies[:, None] * one.reshape(1, -1), CALO)


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.5), (5.5, 0.6), (2.2, 0.4)])
def test_a_gamma_profile_is_found_again(a: float, b: float) -> None:
    found = profiles.fit_profile(exact(a, b, np.linspace(1e3, 1e5, 30)))
    assert (found.a, found.b, found.scale) == pytest.approx((a, b, 0.9), rel=1e-3)
    assert found.maximum == pytest.approx((a - 1) / b, rel=1e-3)
    t = np.linspace(0, 40, 40_001)
    assert np.trapezoid(found(t), t) == pytest.approx(found.between(np.array([0.0, 40.0]))[0], rel=1e-4)
    assert t[np.argmax(found(t))] == pytest.approx(found.maximum, abs=2e-3)


def test_silicon_behind_tungsten_sees_the_shower_later() -> None:
    # the middle of a sheet of silicon lies 0.40 X0 of tungsten and half its own 0.0032 X0 behind the front of its cell
    shift = profiles.behind_middle(CALO)
    assert shift == pytest.approx(0.4 / 2, abs=0.002)
    edges = profiles.depth_edges(CALO)
    truth = profiles.GammaProfile(4.0, 0.5, 0.95)
    cell = (edges[1] - edges[0]) / 2
    sheets = np.arange(90) * cell + 2 * shift  # where silicon is
    seen = (truth(sheets) * cell).reshape(45, 2).sum(axis=1)
    showers = Showers(np.full(20, 1e4), np.repeat(seen, 144)[None].repeat(20, axis=0) * 1e4 / 144, CALO)
    assert profiles.fit_profile(showers, shift).maximum == pytest.approx(truth.maximum, abs=0.02)
    assert profiles.fit_profile(showers).maximum == pytest.approx(truth.maximum - shift, abs=0.05)


def test_the_maximum_of_the_pdg_moves_by_one_per_e_fold_and_photons_lie_one_deeper() -> None:
    e = np.array([1e4, 1e4 * np.e])
    electron, photon = (profiles.pdg_maximum(e, CALO.stack, kind) for kind in ("electron", "photon"))
    assert np.diff(electron)[0] == pytest.approx(1)
    assert photon - electron == pytest.approx(1)
    assert electron[0] == pytest.approx(np.log(1e4 / CALO.stack.critical) - 0.5)
    with pytest.raises(InputError, match="muon"):
        profiles.pdg_maximum(e, CALO.stack, "muon")


def test_what_lies_within_a_radius_is_interpolated_between_the_rings() -> None:
    showers = exact(3, 0.5, np.full(3, 1e4))
    edge = CALO.layers[0].r_edges[-1]
    inside = lambda r: r**2 / (r**2 + 100) * (edge**2 + 100) / edge**2  # noqa: E731
    assert profiles.contained(showers, 9.3) == pytest.approx(inside(9.3), rel=1e-5)  # an edge
    assert profiles.contained(showers, 11.0) == pytest.approx(inside(11.0), abs=0.005)
    assert profiles.contained(showers, edge) == pytest.approx(1)
    with pytest.raises(InputError, match="reach 41"):
        profiles.contained(showers, 50)
    with pytest.raises(InputError, match="no energy"):
        profiles.contained(Showers(showers.energies, 0 * showers.deposits, CALO), 10)


def test_response_and_resolution_are_found_again() -> None:
    g = np.random.default_rng(1)
    energies = np.exp(g.uniform(np.log(1e3), np.log(1e5), 8000))
    truth = profiles.Response(0.95, 0.01, 0.15, 0.02)
    mean = 0.95 * energies * (energies / 1e4) ** 0.01
    found = profiles.fit_response(energies, mean * (1 + truth.resolution(energies) * g.standard_normal(8000)))
    assert found.scale == pytest.approx(0.95, abs=0.003)
    assert found.curvature == pytest.approx(0.01, abs=0.002)
    assert found.sampling == pytest.approx(0.15, abs=0.006)
    assert found.constant == pytest.approx(0.02, abs=0.004)
    with pytest.raises(InputError, match="factor of 2"):
        profiles.fit_response(energies[:5], mean[:5])


def test_the_bootstrap_has_the_error_of_a_mean_and_pairs_equal_energies() -> None:
    g = np.random.default_rng(2)
    showers = exact(3, 0.5, g.uniform(1e3, 2e3, 400))
    result = calo.bootstrap(lambda s: float(s.energies.mean()), showers, n_boot=200, floor=1500.0, better="lower")
    assert result.error == pytest.approx(showers.energies.std() / 20, rel=0.2)
    assert (result.n, result.floor, result.seeds) == (400, 1500.0, 0)
    other = calo.bootstrap(lambda s: float(s.totals.mean()), showers, n_boot=200)
    assert other.pairing == result.pairing
    assert np.corrcoef(other.replicas, result.replicas)[0, 1] > 0.99


def test_layers_with_gaps_and_too_few_showers_are_refused() -> None:
    with pytest.raises(InputError, match="gaps"):
        profiles.depth_edges(geometry("calochallenge-1-photons"))
    with pytest.raises(InputError, match="needs 10"):
        profiles.fit_profile(exact(3, 0.5, np.full(9, 1e4)))
