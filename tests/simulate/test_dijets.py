"""Dijet events have the masses of what decays in them; QCD falls, and its biased tail agrees with the plain one."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import dijets, recipe
from hepml_nb.stats import auc

N = 300


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """Return 300 events of each process."""
    make = recipe("dijets")
    return {name: make(N, seed=3, process=name, label=i)[0] for i, name in enumerate(("qcd", "qq", "qqq"))}


def ratio(events: Any, which: int, of: int) -> np.ndarray:
    """Return tau_which / tau_of of both jets, in one row."""
    return np.concatenate([ak.to_numpy(events[f"{j}_tau{which}"] / events[f"{j}_tau{of}"]) for j in ("j1", "j2")])


def test_every_event_passed_the_trigger(made: dict[str, Any]) -> None:
    for number, events in enumerate(made.values()):
        assert len(events) == N
        assert ak.all((events.j1_pt > 1199.9) & (np.abs(events.j1_eta) < 2.501))
        assert ak.all((events.j1_pt >= events.j2_pt) & (events.j2_pt > 20))
        assert ak.all(events.label == number)
        assert ak.all(events.weight == 1)
        assert len(np.unique(ak.to_numpy(events.event))) == N


@pytest.mark.parametrize("process", ["qq", "qqq"])
def test_signal_has_its_masses(made: dict[str, Any], process: str) -> None:
    """Radiation out of the jets takes a little of the resonance's mass, radiation into them adds to the light jet's.

    With a core of 4 % (half of the events lie in 3.3 to 3.6 TeV) the median of 300 is known to about 0.3 %.
    """
    events = made[process]
    mjj, light, difference = dijets.features(events)[:, :3].T
    assert np.median(mjj) == pytest.approx(3.5, rel=0.03)
    assert np.median(light) == pytest.approx(0.100, rel=0.10)
    assert np.median(light + difference) == pytest.approx(0.500, rel=0.05)
    assert ak.all((events.mx == 500) & (events.my == 100))


def test_other_masses_are_obeyed() -> None:
    events, _ = recipe("dijets")(150, seed=1, process="qq", label=1, mass=4000, mx=300, my=300)
    mjj, light, difference = dijets.features(events)[:, :3].T
    assert np.median(mjj) == pytest.approx(4.0, rel=0.03)
    assert np.median(light + difference) == pytest.approx(0.3, rel=0.1)
    assert np.median(light) == pytest.approx(0.3, rel=0.1)


def test_prongs_show_in_the_ratios_of_tau(made: dict[str, Any]) -> None:
    """Two prongs lower tau21, three lower tau32 and not tau21 as much."""
    label = np.repeat([1, 0], 2 * N)
    tau21 = {name: ratio(events, 2, 1) for name, events in made.items()}
    tau32 = {name: ratio(events, 3, 2) for name, events in made.items()}
    assert auc(label, -np.concatenate([tau21["qq"], tau21["qcd"]])).value > 0.7
    assert auc(label, -np.concatenate([tau32["qqq"], tau32["qcd"]])).value > 0.7
    assert auc(label, -np.concatenate([tau32["qqq"], tau32["qq"]])).value > 0.55
    assert np.median(tau21["qq"]) < np.median(tau21["qqq"]) < np.median(tau21["qcd"])


def test_qcd_falls_and_has_no_heavy_jets(made: dict[str, Any]) -> None:
    mjj, light = dijets.features(made["qcd"])[:, :2].T
    counts = np.histogram(mjj, [2.4, 3.2, 4.0, 4.8, 5.6, 7.0])[0]
    assert np.all(counts[:-1] > counts[1:])
    assert np.median(light) < 0.15
    assert ak.all(made["qcd"].mx == 0)


def test_weights_bring_the_biased_spectrum_back(made: dict[str, Any]) -> None:
    """The same spectrum from events drawn (pTHat / 800 GeV)^5 too often: shares of the bins agree within 3 errors."""
    plain = dijets.features(made["qcd"])[:, 0]
    biased, _ = recipe("dijets")(400, seed=9, bias=5)
    weight, mjj = ak.to_numpy(biased.weight).astype(float), dijets.features(biased)[:, 0]
    assert weight.min() > 0
    assert weight.max() <= 1.0001
    edges = np.array([2.0, 2.8, 3.4, 9.0])
    expected = np.histogram(plain, edges)[0] / len(plain)
    share = np.histogram(mjj, edges, weights=weight)[0] / weight.sum()
    error = np.sqrt(
        np.histogram(mjj, edges, weights=weight**2)[0] / weight.sum() ** 2 + expected * (1 - expected) / len(plain)
    )
    assert np.all(np.abs(share - expected) < 3 * error)
    assert np.mean(mjj > 3.4) > 1.3 * expected[-1]  # what the bias is for


def test_a_window_of_mjj_is_obeyed_and_particles_give_the_same_jets() -> None:
    events, counters = recipe("dijets")(15, seed=2, mjj=(3300, 3700), particles=True)
    assert ak.all((events.mjj > 3300) & (events.mjj < 3700))
    assert counters["kept"] < counters["triggered"] <= counters["events"] <= counters["tried"]
    inside = events.particles
    assert ak.all(inside.pt[:, :-1] >= inside.pt[:, 1:])
    assert ak.all(ak.num(inside) <= 700)
    again = dijets.describe(inside, dijets.leading(inside))
    for name, values in again.items():
        assert ak.to_numpy(events[name]) == pytest.approx(values, rel=1e-3, abs=1e-3), name


def test_features_of_the_field() -> None:
    events = ak.zip({"mjj": [3500.0], "j1_mass": [500.0], "j2_mass": [100.0], "j1_tau1": [200.0], "j1_tau2": [50.0],
                     "j2_tau1": [20.0], "j2_tau2": [16.0]})  # fmt: skip
    assert dijets.features(events)[0] == pytest.approx([3.5, 0.1, 0.4, 0.8, 0.25], rel=1e-5)
    with pytest.raises(InputError, match="no column 'mjj'"):
        dijets.features(ak.zip({"mj": [1.0]}))


def test_an_event_with_one_jet_has_no_second() -> None:
    one = ak.unflatten(ak.zip({"pt": [1300.0, 10.0], "eta": [0.0, 2.0], "phi": [0.0, 3.0]}), [2, 0])
    found = dijets.describe(one, dijets.leading(one))
    assert found["j1_pt"].tolist() == [1300.0, 0.0]
    assert found["j2_pt"].tolist() == [0.0, 0.0]
    assert found["mjj"][0] == pytest.approx(0, abs=1)


def test_same_seed_same_events_and_nothing_for_nothing() -> None:
    one, two, other = (recipe("dijets")(20, seed=seed, process="qq")[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two, equal_nan=True)
    assert not ak.array_equal(one.mjj, other.mjj)
    assert recipe("dijets")(0)[0].fields == one.fields


def test_what_makes_no_sense_is_refused() -> None:
    make = recipe("dijets")
    with pytest.raises(NotFound, match="did you mean 'qqq'"):
        make(1, process="qqqq")
    with pytest.raises(InputError, match="expected a power"):
        make(1, process="qq", bias=5)
    with pytest.raises(InputError, match="mx \\+ my below"):
        make(1, process="qq", mass=500)


def test_the_signal_region_holds_what_it_does_in_the_public_set() -> None:
    """1000 public signal events on all QCD make S/B = 0.00636 in 3.3 to 3.7 TeV (CATHODE, arXiv:2109.00546).

    The sample knows its shares to 2.3 % (QCD) and 0.8 % (signal); QCD below the pTHat cut takes another 2 %.
    """
    sample = data.load("lhco")
    events = ak.concatenate([sample.split(split) for split in sample.splits])
    mjj, label = dijets.features(events)[:, 0], ak.to_numpy(events.label)
    share = [np.mean((mjj[label == number] > 3.3) & (mjj[label == number] < 3.7)) for number in (0, 1)]
    assert 1e-3 * share[1] / share[0] == pytest.approx(0.00636, rel=0.08)
    assert share[0] == pytest.approx(0.1214, rel=0.08)
    counts = np.histogram(mjj[label == 0], np.arange(2.6, 5.9, 0.3))[0]
    assert np.all(counts[:-1] > counts[1:])  # no edge of a cut shows above the turn-on
