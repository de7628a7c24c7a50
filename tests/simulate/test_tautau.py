"""Events with a lepton and a hadronic tau have the masses, balances and weights of their processes."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import recipe
from hepml_nb.simulate.higgsml import CLASSES, DERIVED, PRIMARY, UNDEFINED, derived, normalise, shifted
from hepml_nb.simulate.recipes.tautau import CROSS_SECTIONS, LUMINOSITY, TAGGED


@pytest.fixture(scope="module")
def events() -> ak.Array:
    return data.load("higgsml").split("test")


def of(events: ak.Array, name: str) -> ak.Array:
    return events[events.label == CLASSES[name]]


def primary(events: ak.Array) -> dict[str, np.ndarray]:
    return {name: ak.to_numpy(events[name]) for name in PRIMARY}


def event(**given: float) -> dict[str, np.ndarray]:
    """Return one event: lepton and tau back to back, no jets, no missing momentum, but for what is given."""
    values = dict.fromkeys(PRIMARY, 0.0)
    values |= {name: UNDEFINED for name in PRIMARY if name.startswith(("PRI_jet_leading", "PRI_jet_sub"))}
    values |= {"PRI_lep_pt": 40.0, "PRI_had_pt": 40.0, "PRI_had_phi": np.pi, **given}
    return {name: np.array([value]) for name, value in values.items()}


def test_derived_features_of_events_with_known_answers() -> None:
    plain = {name: value[0] for name, value in derived(event()).items()}
    assert plain["DER_mass_vis"] == pytest.approx(80)
    assert plain["DER_pt_h"] == pytest.approx(0, abs=1e-9)
    assert plain["DER_deltar_had_lep"] == pytest.approx(np.pi)
    assert plain["DER_pt_ratio_lep_had"] == 1
    assert plain["DER_sum_pt"] == 80
    assert plain["DER_mass_jet_jet"] == plain["DER_lep_eta_centrality"] == UNDEFINED
    # missing momentum midway between lepton and tau, which are 90 degrees apart
    apart = {"PRI_had_phi": np.pi / 2, "PRI_met": 30.0, "PRI_met_phi": np.pi / 4}
    assert derived(event(**apart))["DER_met_phi_centrality"] == pytest.approx(np.sqrt(2))
    assert derived(event(**{**apart, "PRI_met_phi": 0.0}))["DER_met_phi_centrality"] == pytest.approx(1)
    opposite = derived(event(PRI_met=40.0, PRI_met_phi=np.pi))
    assert opposite["DER_mass_transverse_met_lep"] == pytest.approx(80)
    jets = {"PRI_n_jets": 2, "PRI_jet_leading_pt": 50.0, "PRI_jet_subleading_pt": 50.0, "PRI_jet_leading_eta": 1.5,
            "PRI_jet_subleading_eta": -1.5, "PRI_jet_leading_phi": 1.0, "PRI_jet_subleading_phi": 1.0 - np.pi,
            "PRI_jet_all_pt": 100.0}  # fmt: skip
    two = derived(event(**jets))
    assert two["DER_mass_jet_jet"] == pytest.approx(100 * np.cosh(1.5))
    assert two["DER_deltaeta_jet_jet"] == pytest.approx(3)
    assert two["DER_prodeta_jet_jet"] == pytest.approx(-2.25)
    assert two["DER_lep_eta_centrality"] == pytest.approx(1)
    assert derived(event(**{**jets, "PRI_lep_eta": 1.5}))["DER_lep_eta_centrality"] == pytest.approx(np.exp(-1))
    assert two["DER_pt_tot"] == pytest.approx(0, abs=1e-9)
    assert two["DER_sum_pt"] == 180


def test_columns_are_finite_and_selected(events: ak.Array) -> None:
    for name in events.fields:
        assert np.isfinite(ak.to_numpy(events[name])).all(), name
    assert ak.all(events.PRI_lep_pt > 19.99)
    assert ak.all(events.PRI_had_pt > 19.99)
    assert ak.all(abs(events.PRI_lep_eta) < 2.501)
    assert ak.all((events.PRI_jet_leading_pt == UNDEFINED) == (events.PRI_n_jets == 0))
    assert ak.all(events.PRI_jet_leading_pt >= events.PRI_jet_subleading_pt)
    for name, values in derived(primary(events)).items():
        assert ak.to_numpy(events[name]) == pytest.approx(values, rel=1e-4, abs=1e-3), name


def test_visible_masses_order_as_the_bosons(events: ak.Array) -> None:
    z, higgs = of(events, "ztautau"), of(events, "htautau")
    z_mass, h_mass = float(np.median(z.DER_mass_vis)), float(np.median(higgs.DER_mass_vis))
    # neutrinos take a good third of the mass: the visible part peaks near 0.7 of it with these cuts
    assert 0.6 * 91.19 < z_mass < 0.8 * 91.19
    assert np.mean(z.DER_mass_vis < 91.19) > 0.93
    assert z_mass + 5 < h_mass < 125
    assert np.mean(higgs.DER_mass_vis < 125) > 0.95


def test_missing_momentum_lies_along_the_taus_and_w_decays_have_transverse_mass(events: ak.Array) -> None:
    mass = {name: ak.to_numpy(of(events, name).DER_mass_transverse_met_lep) for name in CLASSES}
    for tau in ("htautau", "ztautau"):
        for w in ("ttbar", "diboson"):
            assert np.median(mass[tau]) + 15 < np.median(mass[w])
    # the lepton's tau loses two neutrinos, the other one, so the momentum lies between the taus or by the lepton
    z = of(events, "ztautau")
    near = np.cos(ak.to_numpy(z.PRI_met_phi - z.PRI_lep_phi))[ak.to_numpy(z.PRI_met) > 15]
    assert np.mean(near > 0) > 0.6
    assert np.mean(of(events, "ttbar").PRI_n_jets) > 2
    assert np.mean(z.PRI_n_jets) < 1


def test_weights_are_cross_section_times_luminosity_times_acceptance() -> None:
    sample = data.load("higgsml")
    for name, counters in sample.provenance["counters"].items():
        mine = of(sample.split("test"), name)
        accepted = counters["selected"] / counters["counted"]
        whole = 400  # a chunk, of which the sample has the first records
        expected = CROSS_SECTIONS[name] * LUMINOSITY * TAGGED * accepted
        assert float(np.sum(mine.weights)) == pytest.approx(expected * len(mine) / whole, rel=1e-4)
        low, high = {"htautau": (0.2, 0.35), "ztautau": (0.04, 0.09), "ttbar": (0.3, 0.55), "diboson": (0.2, 0.4)}[name]
        assert low < accepted < high
    yields = {"htautau": 1015.0, "ztautau": 1002395.0}
    new = normalise(sample.split("test"), yields)
    assert float(np.sum(of(new, "htautau").weights)) == pytest.approx(1015, rel=1e-4)
    assert float(np.sum(of(new, "ztautau").weights)) == pytest.approx(1002395, rel=1e-4)
    with pytest.raises(InputError, match="class 'qcd'"):
        normalise(new, {"qcd": 1.0})


def test_scales_move_what_they_name(events: ak.Array) -> None:
    nominal = shifted(events)
    assert set(nominal.fields) == set(events.fields)
    assert ak.all(nominal.PRI_had_pt >= 26)
    assert ak.all((nominal.PRI_jet_leading_pt >= 26) | (nominal.PRI_jet_leading_pt == UNDEFINED))
    hard = events[(events.PRI_had_pt > 30) & (events.PRI_jet_leading_pt > 30) & (events.PRI_jet_subleading_pt > 30)]
    up, jets = shifted(hard, tes=1.05), shifted(hard, jes=1.05)
    assert ak.to_numpy(up.PRI_had_pt) == pytest.approx(1.05 * ak.to_numpy(hard.PRI_had_pt), rel=1e-5)
    assert ak.to_numpy(up.DER_mass_vis) == pytest.approx(np.sqrt(1.05) * ak.to_numpy(hard.DER_mass_vis), rel=1e-4)
    # what the tau gains the missing momentum loses, and the sum of both stays
    assert ak.to_numpy(up.DER_pt_h) == pytest.approx(ak.to_numpy(hard.DER_pt_h), rel=1e-3, abs=0.01)
    assert ak.to_numpy(jets.PRI_jet_all_pt) == pytest.approx(1.05 * ak.to_numpy(hard.PRI_jet_all_pt), rel=1e-5)
    assert ak.to_numpy(jets.DER_pt_tot) == pytest.approx(ak.to_numpy(hard.DER_pt_tot), rel=1e-3, abs=0.01)
    soft = shifted(events, soft_met=5.0, seed=1)
    moved = [ak.to_numpy(x.PRI_met * np.cos(x.PRI_met_phi)) for x in (soft, nominal)]
    assert np.std(moved[0] - moved[1]) == pytest.approx(5, rel=0.15)
    assert ak.array_equal(soft, shifted(events, soft_met=5.0, seed=1))
    scaled = shifted(events, ttbar_scale=1.1, diboson_scale=2.0, bkg_scale=1.5)
    for name, factor in (("htautau", 1), ("ztautau", 1.5), ("ttbar", 1.65), ("diboson", 3)):
        assert np.sum(of(scaled, name).weights) / np.sum(of(nominal, name).weights) == pytest.approx(factor, rel=1e-4)
    assert (
        np.sum(shifted(events, tes=1.05).weights) > np.sum(nominal.weights) > np.sum(shifted(events, tes=0.95).weights)
    )
    with pytest.raises(InputError, match="jes=0"):
        shifted(events, jes=0)
    with pytest.raises(InputError, match="soft_met=-1"):
        shifted(events, soft_met=-1)


def test_the_recipe_is_a_function_of_its_seed() -> None:
    one, two, other = (recipe("tautau")(10, seed=seed, process="ttbar")[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two)
    assert not ak.array_equal(one.PRI_met, other.PRI_met)
    assert set(one.fields) == {*PRIMARY, *DERIVED, "weights", "label", "event"}
    assert len(recipe("tautau")(0, process="ttbar")[0]) == 0
    with pytest.raises(NotFound, match="did you mean 'ttbar'"):
        recipe("tautau")(1, process="tbar")
