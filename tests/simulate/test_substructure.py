"""Observables agree with their definitions on jets that can be worked out by hand, and with brute force."""

from __future__ import annotations

from itertools import combinations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.simulate import describe, lund, soft_drop
from hepml_nb.simulate.substructure import cluster_sequence, correlations, momenta


def jets(*rows: list[tuple[float, float, float]]) -> tuple[ak.Array, ak.Array, ak.Array]:
    """Return pt, deta, dphi of jets given as lists of constituents."""
    return tuple(ak.Array([[particle[i] for particle in row] for row in rows]) for i in range(3))  # type: ignore[return-value]


def mass(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    return float(np.sqrt(2 * a[0] * b[0] * (np.cosh(a[1] - b[1]) - np.cos(a[2] - b[2]))))


TWO = [(300.0, 0.0, 0.1), (200.0, 0.3, -0.1)]
SOFT = [(300.0, 0.0, 0.1), (20.0, 0.3, -0.1)]
THREE = [(300.0, 0.0, 0.0), (200.0, 0.4, 0.0), (100.0, 0.0, 0.4)]


def test_two_prongs_have_the_mass_of_a_pair_and_no_tau2() -> None:
    seen = describe(*jets(TWO, SOFT))
    assert seen["mass"] == pytest.approx([mass(*TWO), mass(*SOFT)], rel=1e-6)
    assert np.all(seen["tau2"] < 1e-6)
    assert np.all(seen["tau1"] > 0.01)


def test_soft_drop_keeps_a_balanced_pair_and_drops_a_soft_one() -> None:
    particles = momenta(*jets(TWO, SOFT))
    groomed = soft_drop(particles, z=0.1, beta=0.0)
    assert ak.to_list(groomed.mass)[0] == pytest.approx(mass(*TWO), rel=1e-6)
    assert groomed.mass[1] == pytest.approx(0, abs=1e-3)
    assert groomed.z[0] == pytest.approx(0.4)
    assert groomed.delta_r[0] == pytest.approx(np.hypot(0.3, 0.2), rel=1e-3)
    assert ak.num(groomed.constituents).tolist() == [2, 1]
    # a looser cut lets the soft pair through
    assert soft_drop(particles, z=0.05).mass[1] == pytest.approx(mass(*SOFT), rel=1e-6)


def test_soft_drop_takes_jets_of_the_schema_and_refuses_a_senseless_cut() -> None:
    pt, deta, dphi = jets(TWO)
    schema = ak.zip({"constituents": ak.zip({"pt": pt, "deta": deta, "dphi": dphi})}, depth_limit=1)
    assert soft_drop(schema).mass[0] == pytest.approx(mass(*TWO), rel=1e-6)
    with pytest.raises(InputError, match=r"0 < z <= 0\.5"):
        soft_drop(schema, z=0.6)


def test_three_prongs_have_no_tau3_but_a_tau2() -> None:
    seen = describe(*jets(THREE))
    assert seen["tau3"][0] < 1e-6 < 0.05 < seen["tau2"][0] < seen["tau1"][0]


def test_correlators_are_their_sums_over_pairs_and_triples() -> None:
    rng = np.random.default_rng(5)
    rows = [[tuple(x) for x in np.c_[rng.exponential(50, n) + 1, rng.uniform(-0.4, 0.4, (n, 2))]] for n in (4, 7, 9)]
    sequence = cluster_sequence(momenta(*jets(*rows)), "cambridge", 10.0)

    def brute(row: list[tuple[float, float, float]], angles: int) -> tuple[float, float]:
        z = np.array([p[0] for p in row]) / sum(p[0] for p in row)
        r = np.array([[np.hypot(a[1] - b[1], a[2] - b[2]) for a in row] for b in row])
        two = sum(z[i] * z[j] * r[i, j] for i, j in combinations(range(len(row)), 2))
        three = 0.0
        for i, j, k in combinations(range(len(row)), 3):
            three += z[i] * z[j] * z[k] * np.prod(sorted((r[i, j], r[i, k], r[j, k]))[:angles])
        return two, three

    for angles, number in ((-1, 3), (2, 2), (1, 1)):
        two, three = correlations(sequence, angles=angles)
        expected = np.array([brute(row, number) for row in rows])
        assert two == pytest.approx(expected[:, 0], rel=0.02)  # FastJet normalises by the jet's pt, not the scalar sum
        assert three == pytest.approx(expected[:, 1], rel=0.03)


def test_lund_plane_of_a_pair_is_its_splitting() -> None:
    pt, deta, dphi = jets(TWO)
    plane = lund(ak.zip({"constituents": ak.zip({"pt": pt, "deta": deta, "dphi": dphi})}, depth_limit=1))
    assert plane.delta[0, 0] == pytest.approx(np.hypot(0.3, 0.2), rel=1e-3)
    assert plane.kt[0, 0] == pytest.approx(200 * np.hypot(0.3, 0.2), rel=1e-3)
    assert plane.z[0, 0] == pytest.approx(0.4, rel=1e-3)


def test_particles_at_one_place_leave_the_lund_plane_of_all_jets_finite() -> None:
    inside = ak.zip({
        "pt": ak.Array([[50.0, 40.0, 10.0], [60.0, 20.0]]),
        "deta": ak.Array([[0.0, 0.0, 0.3], [0.0, 0.2]]),
        "dphi": ak.Array([[0.0, 0.0, 0.0], [0.0, 0.0]]),
    })  # fmt: skip
    plane = lund(ak.zip({"constituents": inside}, depth_limit=1))
    assert ak.num(plane.z).tolist() == [1, 1]
    np.testing.assert_allclose(ak.to_numpy(ak.flatten(plane.z)), [0.1, 0.25], rtol=1e-3)


def test_a_single_constituent_gives_zeros_and_no_nan() -> None:
    seen = describe(*jets([(500.0, 0.0, 0.0)], TWO))
    assert all(np.isfinite(values).all() for values in seen.values())
    assert seen["mass"][0] == pytest.approx(0, abs=1e-3)
    assert seen["n2"][0] == seen["d2"][0] == 0


def test_no_jets_give_no_rows() -> None:
    empty = ak.unflatten(ak.Array(np.zeros(0)), np.zeros(0, int))
    assert all(len(values) == 0 for values in describe(empty, empty, empty).values())


def test_empty_jets_and_nan_are_named() -> None:
    with pytest.raises(InputError, match="jet 1 has no constituents"):
        describe(*jets(TWO, []))
    with pytest.raises(InputError, match=r"1 constituents have a pt that is NaN.*jet 1"):
        describe(*jets(TWO, [(np.nan, 0.0, 0.0), (1.0, 0.0, 0.1)]))


def test_unknown_algorithm_and_radius_are_refused() -> None:
    particles = momenta(*jets(TWO))
    with pytest.raises(InputError, match="antikt, cambridge, kt"):
        cluster_sequence(particles, "anti-kt", 0.8)
    with pytest.raises(InputError, match="radius"):
        cluster_sequence(particles, "kt", -1)
