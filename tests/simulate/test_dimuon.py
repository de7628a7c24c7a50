"""Pairs of muons have the Upsilons' masses, the tracker's resolution, the displacement of bottom and honest signs."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import NotFound
from hepml_nb.simulate import recipe
from hepml_nb.simulate.recipes import dimuon

MASSES = {1: 9.4603, 2: 10.0233, 3: 10.3552}  # GeV, Particle Data Group


@pytest.fixture(scope="module")
def streams() -> dict[str, ak.Array]:
    sizes = {"bottom": 300, "continuum": 300, "upsilon": 600}
    return {name: recipe("dimuon")(n, seed=2, process=name, label=i)[0] for i, (name, n) in enumerate(sizes.items())}


def test_pairs_are_those_of_the_selection(streams: dict[str, ak.Array]) -> None:
    for label, events in enumerate(streams.values()):
        assert ak.all(events.label == label)
        assert ak.to_list(events.event) == list(range(len(events)))
        for name in events.fields:
            assert np.isfinite(ak.to_numpy(events[name]).astype(float)).all(), name
        low, high = dimuon.WINDOW
        assert ak.all((events.mass > low * 0.999) & (events.mass < high * 1.001))
        pt, eta = ak.to_numpy(events.mu_pt), ak.to_numpy(events.mu_eta)
        assert pt.min() > dimuon.LEAST * (1 - 2.0**-10)
        assert (pt[:, 0] >= pt[:, 1]).all()
        assert np.abs(eta).max() < dimuon.REACH * (1 + 2.0**-10)
        # the pair is made of these two: m^2 = 2 pt pt (cosh deta - cos dphi) lies between back to back and aligned
        most = np.sqrt(2 * np.prod(pt, axis=1) * (np.cosh(eta[:, 0] - eta[:, 1]) + 1))
        assert (ak.to_numpy(events.mass) < most * 1.002 + 0.01).all()
        assert (ak.to_numpy(events.pt) <= pt.sum(axis=1) * 1.002).all()


def test_upsilons_are_where_they_are_and_in_proportion(streams: dict[str, ak.Array]) -> None:
    events = streams["upsilon"]
    state, true, mass = (ak.to_numpy(events[name]) for name in ("state", "true_mass", "mass"))
    for one, known in MASSES.items():
        mine = state == one
        assert mine.sum() > 30
        assert true[mine] == pytest.approx(known, abs=2e-3)  # kept to a thousandth
        error = 1.25 * mass[mine].std() / np.sqrt(mine.sum())
        assert np.median(mass[mine]) == pytest.approx(known, abs=4 * error)
    assert np.median(mass[state == 1] / true[state == 1]) == pytest.approx(1, abs=0.003)
    assert np.mean(state == 1) > 0.5  # the higher states are made, and decay to muons, less often


def test_the_resolution_is_that_of_the_tracks(streams: dict[str, ak.Array]) -> None:
    events = streams["upsilon"]
    ratio, eta = ak.to_numpy(events.mass / events.true_mass), np.abs(ak.to_numpy(events.mu_eta)).max(axis=1)

    def width(some: np.ndarray) -> float:
        return float(np.subtract(*np.quantile(some, [0.84, 0.16])) / 2)

    assert 0.009 < width(ratio) < 0.014  # CMS: about 1 % on average over its muons
    assert width(ratio[eta < 1]) < 0.75 * width(ratio[eta > 1.5])


def test_bottom_flies_and_the_rest_does_not(streams: dict[str, ak.Array]) -> None:
    far = {name: np.abs(ak.to_numpy(one.mu_d0)) for name, one in streams.items()}
    pull = {name: far[name] / ak.to_numpy(one.mu_d0err) for name, one in streams.items()}
    for prompt in ("continuum", "upsilon"):
        assert np.median(pull[prompt]) == pytest.approx(0.674, abs=0.09)  # a normal distribution
    # c tau of 0.45 mm and a muon at an angle of about m_B / p_B to its hadron: |d0| averages a few tenths of a mm
    assert 0.1 < far["bottom"].mean() < 0.5
    assert np.mean(pull["bottom"] > 3) > 10 * np.mean(pull["upsilon"] > 3)


def test_signs(streams: dict[str, ak.Array]) -> None:
    for prompt in ("continuum", "upsilon"):
        assert ak.all(streams[prompt].sign == -1)
    same = float(np.mean(ak.to_numpy(streams["bottom"].sign) == 1))
    chi = 0.126  # mixing probability, averaged over hadrons of bottom (Particle Data Group)
    assert same == pytest.approx(2 * chi * (1 - chi), abs=0.08)  # 300 pairs: 0.024
    assert ak.all(streams["bottom"].state == 0)


def test_bottom_muons_have_company(streams: dict[str, ak.Array]) -> None:
    alone = {name: float(np.mean(ak.to_numpy(one.mu_iso) < 0.05)) for name, one in streams.items()}
    assert alone["bottom"] < alone["continuum"] - 0.1
    assert all(ak.all(one.mu_iso >= 0) for one in streams.values())


def test_the_isolation_counts_tracks_in_the_cone() -> None:
    seen = {
        "event": np.array([0, 0, 0, 0, 2, 2, 2]),
        "pt": np.array([10.0, 5.0, 1.0, 2.0, 8.0, 4.0, 3.0]),
        "eta": np.array([0.0, 1.0, 0.1, 2.0, 0.0, 0.0, 0.0]),
        "phi": np.array([3.1, 0.0, -3.1, 0.0, 0.0, 2.0, 0.29]),
    }
    found = dimuon._isolation(seen, np.array([[0, 1], [4, 5]]), np.array([0, 2]))
    assert found == pytest.approx(np.array([[0.1, 0.0], [3 / 8, 0.0]]))  # across phi = pi; at 1.0 too far


def test_seeds_and_bad_input() -> None:
    one, two, other = (recipe("dimuon")(10, seed=seed, process="upsilon")[0] for seed in (1, 1, 2))
    assert ak.array_equal(one, two)
    assert not ak.array_equal(one.mass, other.mass)
    assert len(recipe("dimuon")(0, process="upsilon")[0]) == 0
    with pytest.raises(NotFound, match="upsilon"):
        recipe("dimuon")(1, process="upsilons")
