"""Coordinates of phase space keep its symmetries and its volume, and the distance is one."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.tagging.phase_space import (
    PhaseSpaceConfig,
    coordinates,
    phase_space_distance,
    subjet_momenta,
)
from hepml_nb.testing import toy_jets


def flat_phase_space(events: int, bodies: int, seed: int = 0) -> np.ndarray:
    """Massless events uniform in phase space (RAMBO, Comput. Phys. Commun. 40 (1986) 359), boosted along z."""
    generator = np.random.default_rng(seed)
    r = generator.random((events, bodies, 4))
    cos, phi, e = 2 * r[..., 0] - 1, 2 * np.pi * r[..., 1], -np.log(r[..., 2] * r[..., 3])
    sin = np.sqrt(1 - cos**2)
    q = e[..., None] * np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], axis=-1)
    total, energy = q.sum(1), e.sum(1)
    mass = np.sqrt(energy**2 - (total**2).sum(1))
    b, gamma = -total / mass[:, None], energy / mass
    bq = np.einsum("ei,eni->en", b, q)
    p = (q + b[:, None] * (e + bq / (1 + gamma)[:, None])[..., None]) / mass[:, None, None]
    return boosted(p, 2.0)


def boosted(p: np.ndarray, rapidity: float) -> np.ndarray:
    e = np.linalg.norm(p, axis=-1)
    out = p.copy()
    out[..., 2] = np.cosh(rapidity) * p[..., 2] + np.sinh(rapidity) * e
    return out


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    one, two = (torch.from_numpy(coordinates(p)) for p in (a, b))
    return phase_space_distance(one, two, a.shape[1]).sqrt().numpy()


def test_coordinates_lie_on_a_simplex_and_a_sphere():
    x = coordinates(flat_phase_space(200, 5))
    assert x.shape == (200, 5 + 8)
    np.testing.assert_allclose(x[:, :5].sum(1), 1)
    assert (np.diff(x[:, :5], axis=1) <= 0).all()
    np.testing.assert_allclose((x[:, 5:] ** 2).sum(1), 1)


def test_flat_phase_space_is_uniform_in_the_coordinates():
    n, bodies = 20_000, 4
    x = coordinates(flat_phase_space(n, bodies, seed=1))
    # ordered spacings of the unit interval: E[k-th largest of N] = (1/N) sum_(i=k)^N 1/i
    expected = [sum(1 / i for i in range(k, bodies + 1)) / bodies for k in range(1, bodies + 1)]
    np.testing.assert_allclose(x[:, :bodies].mean(0), expected, atol=5 * 0.15 / np.sqrt(n))
    second = (x[:, bodies:] ** 2).reshape(n, 2, bodies - 1).sum(1)
    np.testing.assert_allclose(second.mean(0), 1 / (bodies - 1), atol=5 * 0.24 / np.sqrt(n))


def test_boosts_along_the_flight_and_units_drop_out():
    p = flat_phase_space(50, 4, seed=2)
    fast = boosted(p, 1.5) * 3
    np.testing.assert_allclose(coordinates(fast)[:, :4], coordinates(p)[:, :4], atol=1e-9)
    np.testing.assert_allclose(np.diag(distance(p, fast)), 0, atol=1e-6)


def test_turned_mirrored_and_reordered_events_are_at_no_distance():
    p = flat_phase_space(20, 4, seed=3)
    turn = np.array([[np.cos(1.0), -np.sin(1.0), 0], [np.sin(1.0), np.cos(1.0), 0], [0, 0, 1]])
    for same in (p @ turn.T, p * [1, -1, 1], p[:, ::-1]):
        # arccos near 1 turns a rounding of 1e-15 into 5e-8
        np.testing.assert_allclose(np.diag(distance(p, same)), 0, atol=1e-6)


def test_the_distance_is_symmetric_and_obeys_the_triangle_inequality():
    p = flat_phase_space(40, 5, seed=4)
    d = distance(p, p)
    np.testing.assert_allclose(d, d.T, atol=1e-7)
    assert (d[:, :, None] <= d[:, None, :] + d.T[None] + 1e-6).all()
    assert d[~np.eye(40, dtype=bool)].min() > 0.05


def test_two_bodies_have_no_distance_but_that_of_their_sharing():
    p = flat_phase_space(30, 2, seed=5)
    rho = coordinates(p)[:, :2]
    expected = np.linalg.norm(rho[:, None] - rho[None], axis=2)
    np.testing.assert_allclose(distance(p, p), expected, atol=1e-6)


def test_subjets_share_the_momentum_of_the_jet():
    jets = toy_jets(60, seed=6)
    few = ak.with_field(jets[:3], jets[:3].constituents[:, :2], "constituents")
    for sample in (jets, few):
        parts = sample.constituents
        total = ak.sum(parts.pt * np.cos(parts.dphi), axis=1)
        np.testing.assert_allclose(subjet_momenta(sample, 4)[:, :, 0].sum(1), ak.to_numpy(total), rtol=1e-5)
    assert (np.linalg.norm(subjet_momenta(few, 4), axis=2) > 0).sum(1).tolist() == [2, 2, 2]


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="at least 2 bodies"):
        PhaseSpaceConfig(bodies=1)
