"""The detector smears as it says, loses what it says, and keeps the energy on average."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb.simulate.detector import Detector

N = 20_000


def particles(pdg: int, pt: float, eta: float = 0.2, n: int = N, phi: float = 0.3) -> dict[str, np.ndarray]:
    """One particle of mass zero in each of `n` events."""
    full = np.ones(n)
    return {
        "event": np.arange(n),
        "id": np.full(n, pdg),
        "px": full * pt * np.cos(phi),
        "py": full * pt * np.sin(phi),
        "pz": full * pt * np.sinh(eta),
        "e": full * pt * np.cosh(eta),
    }


def seen(pdg: int, pt: float, eta: float = 0.2) -> dict[str, np.ndarray]:
    return Detector().candidates(particles(pdg, pt, eta), np.random.default_rng(1))


@pytest.mark.parametrize(
    ("pdg", "pt", "kind", "width"),
    [
        (211, 50.0, 211, np.hypot(0.01, 1e-4 * 50)),
        (-321, 200.0, -211, np.hypot(0.01, 1e-4 * 200)),
        (22, 50.0, 22, np.hypot(0.05 / np.sqrt(50 * np.cosh(0.2)), 0.005)),
        (2112, 100.0, 130, np.hypot(1.0 / np.sqrt(100 * np.cosh(0.2)), 0.05)),
    ],
)
def test_resolution_closes(pdg: int, pt: float, kind: int, width: float) -> None:
    found = seen(pdg, pt)
    response = found["pt"][found["pdg"] == kind] / pt
    assert abs(response.mean() - 1) < 5 * width / np.sqrt(len(response)) + 2e-3
    # a neutral hadron's place is drawn inside its cell, which adds to the spread of pt at fixed energy
    assert response.std() == pytest.approx(width, rel=0.05)


@pytest.mark.parametrize(
    ("pt", "eta", "efficiency"), [(10, 0.2, 0.95), (10, 2.0, 0.85), (0.8, 0.2, 0.70), (0.8, 2, 0.60)]
)
def test_tracking_efficiency_and_lost_tracks_become_neutral(pt: float, eta: float, efficiency: float) -> None:
    found = seen(211, pt, eta)
    tracks = (found["pdg"] == 211).sum()
    assert tracks / N == pytest.approx(efficiency, abs=5 * np.sqrt(efficiency * (1 - efficiency) / N))
    if pt > 5:
        assert (found["pdg"] == 130).sum() > 0.95 * (N - tracks)


@pytest.mark.parametrize(
    ("pdg", "pt", "eta"), [(22, 0.05, 0.0), (211, 0.3, 0.0), (130, 0.05, 0.0), (22, 20, 3.2), (13, 20, 2.7)]
)
def test_what_is_too_soft_or_too_far_forward_is_lost(pdg: int, pt: float, eta: float) -> None:
    assert len(seen(pdg, pt, eta)["pt"]) < 0.01 * N


def test_charge_and_leptons_keep_their_class() -> None:
    for pdg, kind in ((11, 11), (-13, -13), (2212, 211), (-2212, -211)):
        found = seen(pdg, 20.0)
        assert (found["pdg"] == kind).mean() > 0.9


def test_photons_of_one_cell_merge_at_their_mean_place() -> None:
    first, second = particles(22, 30.0, 0.2000), particles(22, 10.0, 0.2020)
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    found = Detector().candidates(both, np.random.default_rng(0))
    assert len(found["pt"]) == N
    assert found["eta"].mean() == pytest.approx(0.2005, abs=2e-4)
    assert np.all(np.diff(found["event"]) >= 0)


def test_energy_is_kept_on_average() -> None:
    rng = np.random.default_rng(3)
    n = 40_000
    pt, eta, phi = rng.exponential(8, n) + 2, rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)
    event = np.sort(rng.integers(0, 1000, n))
    full = {"event": event, "id": rng.choice([211, -211, 22, 130], n), "px": pt * np.cos(phi), "py": pt * np.sin(phi),
            "pz": pt * np.sinh(eta), "e": pt * np.cosh(eta)}  # fmt: skip
    found = Detector().candidates(full, rng)
    assert found["pt"].sum() / pt.sum() == pytest.approx(1, abs=0.02)


def test_no_particles_give_no_candidates() -> None:
    found = Detector().candidates(particles(22, 1.0, n=0), np.random.default_rng(0))
    assert all(len(column) == 0 for column in found.values())
