"""Impact parameters follow the helix, and resolutions are those of the tracker that they name."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.simulate import Detector, Pythia
from hepml_nb.simulate.pythia import visible
from hepml_nb.simulate.tracks import impact, measured, resolution


def closest(momentum: np.ndarray, vertex: np.ndarray, charge: int, field: float = 3.8) -> tuple[float, float, float]:
    """Follow a particle back and forth in small steps; return its least distance from the z axis, and x, y, z there."""
    pt = np.hypot(*momentum[:2])
    radius = 1e3 * pt / (0.299792458 * field)
    length = np.linspace(-60, 60, 400_001)
    phi = np.arctan2(momentum[1], momentum[0]) - charge * length / radius
    start = np.arctan2(momentum[1], momentum[0])
    x = vertex[0] + charge * radius * (np.sin(start) - np.sin(phi))
    y = vertex[1] - charge * radius * (np.cos(start) - np.cos(phi))
    best = int(np.argmin(np.hypot(x, y)))
    side = np.sign(x[best] * np.sin(phi[best]) - y[best] * np.cos(phi[best]))
    return side * np.hypot(x[best], y[best]), vertex[2] + length[best] * momentum[2] / pt, np.hypot(x[best], y[best])


@pytest.mark.parametrize("charge", [-1, 1])
def test_helix_agrees_with_stepping_along_it(charge: int) -> None:
    rng = np.random.default_rng(1)
    momentum, vertex = rng.normal(0, 3, (20, 3)), rng.normal(0, 8, (20, 3))
    d0, dz = impact(momentum, vertex, np.full(20, charge))
    for i in range(20):
        expected = closest(momentum[i], vertex[i], charge)
        assert d0[i] == pytest.approx(expected[0], abs=1e-3)
        assert dz[i] == pytest.approx(expected[1], abs=2e-3 * (1 + abs(momentum[i, 2] / np.hypot(*momentum[i, :2]))))


def test_a_straight_track_and_a_prompt_one() -> None:
    d0, dz = impact(np.array([[1e4, 0, 2e4], [1.0, 2.0, 3.0]]), np.array([[5.0, -2.0, 1.0], [0, 0, 0.0]]), np.ones(2))
    assert d0 == pytest.approx([2.0, 0.0], abs=1e-3)  # x py - y px over pt, with y = -2
    assert dz == pytest.approx([1.0 - 5 * 2, 0.0], abs=1e-2)


def test_resolution_is_that_of_cms() -> None:
    # arXiv:1405.6569: about 90 um at 1 GeV, 10 um at 100 GeV in the barrel, and worse forward
    assert resolution("d0", np.array([1.0, 100.0]), np.zeros(2)) == pytest.approx([0.075, 0.0104], rel=0.01)
    pt = np.geomspace(0.3, 200, 50)
    for name in ("d0", "dz"):
        barrel, forward = (resolution(name, pt, np.full(50, eta)) for eta in (0.1, 2.0))
        assert np.all(forward > barrel)
        assert np.all(np.diff(barrel[pt < 20]) < 0)


def test_prompt_tracks_pull_to_one_and_heavy_flavour_is_displaced() -> None:
    fractions = {}
    for name, lines in {"light": ("HardQCD:qq2qq = on",), "beauty": ("HardQCD:gg2bbbar = on",)}.items():
        records = Pythia(lines, seed=3, pthat=(200, 300)).events(40)
        particles = visible(records, vertices=True)
        candidates = Detector().candidates(particles, np.random.default_rng(4), sources=True)
        seen = measured(candidates, particles, np.random.default_rng(5))
        source = candidates["source"]
        track = source >= 0
        assert np.array_equal(track, seen["charge"] != 0)
        assert np.array_equal(track, np.isin(np.abs(candidates["pdg"]), (11, 13, 211)))
        assert np.all(seen["d0err"][~track] == 0)
        born = np.sqrt(sum(particles[axis][source] ** 2 for axis in "xyz"))
        prompt = track & (born < 1e-3)
        for what in ("d0", "dz"):
            pull = seen[f"{what}val"][prompt] / seen[f"{what}err"][prompt]
            assert np.std(pull) == pytest.approx(1, abs=4 / np.sqrt(2 * prompt.sum()))
            assert np.mean(pull) == pytest.approx(0, abs=4 / np.sqrt(prompt.sum()))
        hard = track & (candidates["pt"] > 2) & (np.abs(seen["d0val"]) < 2)
        fractions[name] = np.mean(np.abs(seen["d0val"][hard]) > 5 * seen["d0err"][hard])
    assert fractions["beauty"] > 2 * fractions["light"]


def test_sources_change_no_candidate_and_point_to_their_particles() -> None:
    particles = visible(Pythia("qcd", seed=6).events(5))
    plain, told = (Detector().candidates(particles, np.random.default_rng(7), sources=asked) for asked in (False, True))
    for name, column in plain.items():
        assert np.array_equal(column, told[name]), name
    track = told["source"] >= 0
    mine = told["source"][track]
    assert len(set(mine.tolist())) == len(mine)
    assert np.array_equal(particles["event"][mine], told["event"][track])
    pt = np.hypot(particles["px"], particles["py"])[mine]
    assert np.median(np.abs(told["pt"][track] / pt - 1)) < 0.02
    assert ak.all(np.arcsinh(particles["pz"][mine] / pt) == told["eta"][track])
