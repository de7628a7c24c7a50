"""Top pairs for a chosen top mass: selection, truth, and masses that follow the mass in the generator."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.simulate import recipe
from hepml_nb.simulate.recipes import ttbar_mass


@pytest.fixture(scope="module")
def events() -> ak.Array:
    return recipe("ttbar_mass")(100, seed=2, m_top=172.5, label=2)[0]


def test_events_are_those_of_the_selection(events: ak.Array) -> None:
    assert len(events) == 100
    assert ak.all(events.lepton_pt > 25 * (1 - 2.0**-10))
    assert ak.all(abs(events.lepton_eta) < 2.41)
    assert set(ak.to_list(events.lepton_pdg)) == {11, 13}
    pt = ak.to_numpy(events.jet_pt)
    assert pt.shape == (100, 4)
    assert (pt >= 30 * (1 - 2.0**-10)).all()
    assert (np.diff(pt) <= 0).all()
    assert (np.abs(ak.to_numpy(events.jet_eta)) < 2.41).all()
    assert ak.all(events.n_jets >= 4)
    assert ak.all((events.label == 2) & (events.m_top == 172.5))


def test_tops_have_their_mass_and_their_jets(events: ak.Array) -> None:
    for top in ("had", "lep"):
        mass = ak.to_numpy(events[f"gen_top_{top}_mass"])
        assert np.median(mass) == pytest.approx(172.5, abs=0.5)  # a width of 1.4 GeV, 100 events
        assert 0.5 < np.subtract(*np.percentile(mass, [75, 25])) < 4
    parton = ak.to_numpy(events.jet_parton)
    assert 0.15 < np.mean(parton == 0) < 0.45  # radiation, and quarks that are lost
    for number, most in ((1, 1), (2, 2), (3, 1)):
        assert 0.5 < np.mean((parton == number).sum(axis=1)) / most < 1.0


def test_b_tags_have_their_efficiencies(events: ak.Array) -> None:
    tag, parton = ak.to_numpy(events.jet_btag), ak.to_numpy(events.jet_parton)
    is_b = (parton == 1) | (parton == 3)
    assert tag[is_b].mean() == pytest.approx(0.70, abs=4 * np.sqrt(0.7 * 0.3 / is_b.sum()))
    assert tag[parton == 0].mean() < 0.06
    assert tag[parton == 2].mean() == pytest.approx(0.01 * 0.75 + 0.15 * 0.25, abs=0.06)  # one quark in four is charm


def test_masses_are_there_for_two_tags_and_belong_together(events: ak.Array) -> None:
    two = ak.to_numpy(events.jet_btag).sum(axis=1) == 2
    for name in ("m_jj", "m_bjj", "m_lb"):
        assert (np.isfinite(ak.to_numpy(events[name])) == two).all()
    good = events[two]
    assert ak.all(good.m_bjj > good.m_jj)
    assert not ak.any(events.matched[~two])
    matched = events[events.matched]
    assert ak.all(ak.sum(matched.jet_parton == 2, axis=1) == 2)
    assert np.median(matched.m_bjj) < np.median(good.m_bjj)  # combinations are heavier


def test_two_light_jets_and_two_b_make_the_masses_of_the_formulas() -> None:
    """A W and a top at rest in the transverse plane, from four jets without masses."""
    columns = {
        "jet_pt": np.array([[40.2, 40.2, 60.0, 50.0]]), "jet_eta": np.zeros((1, 4)),
        "jet_phi": np.array([[0.0, np.pi, np.pi / 2, -np.pi / 2]]), "jet_mass": np.zeros((1, 4)),
        "jet_btag": np.array([[False, False, True, True]]), "jet_parton": np.array([[2, 2, 1, 3]]),
        "lepton_pt": np.array([30.0]), "lepton_eta": np.zeros(1), "lepton_phi": np.array([-np.pi / 2 + 0.1]),
    }  # fmt: skip
    found = ttbar_mass._masses(columns)
    assert found["m_jj"][0] == pytest.approx(80.4, rel=1e-3)
    assert found["m_lb"][0] == pytest.approx(np.sqrt(2 * 50 * 30 * (1 - np.cos(0.1))), rel=1e-3)
    assert found["m_bjj"][0] == pytest.approx(np.sqrt((80.4 + 60) ** 2 - 60**2), rel=1e-3)
    assert found["matched"].tolist() == [True]
    swapped = {**columns, "jet_parton": np.array([[2, 2, 3, 1]])}
    assert ttbar_mass._masses(swapped)["matched"].tolist() == [False]


def test_same_seed_same_events_and_masses_outside_are_refused() -> None:
    one, two = (recipe("ttbar_mass")(5, seed=5)[0] for _ in range(2))
    assert ak.array_equal(one, two, equal_nan=True)
    with pytest.raises(InputError, match="expected 150 to 200"):
        recipe("ttbar_mass")(5, m_top=17.25)
