"""Pair spectra of real and simulated events: the Z is where it is, cutflows add up, variations move what they must."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.columnar import Dijets, Dimuon, run
from hepml_nb.columnar.processors import Cutflow, pair_mass
from hepml_nb.core import RunError, manifests_dir
from hepml_nb.simulate import recipe
from hepml_nb.simulate.nanoaod import write_root

from .conftest import Z_MASS, ids, write_tree, z_file

REAL = manifests_dir() / "samples" / "start"


def mean(spectrum, *where):
    """Return mean, its error and the sum of weights of one category."""
    one = spectrum[(*where, slice(None))]
    centers, values = one.axes[0].centers, one.values()
    average = np.sum(centers * values) / np.sum(values)
    spread = np.sqrt(np.sum(values * (centers - average) ** 2) / np.sum(values))
    return average, spread * np.sqrt(np.sum(one.variances())) / np.sum(values), np.sum(values)


@pytest.fixture(scope="module")
def z_peak(folder):
    path = z_file(folder / "peak.root", 3000, 21)
    return run({"zmumu": path}, Dimuon(bins=(150, 76.0, 106.0), scale=0.01))


def test_the_z_is_there_in_real_collisions_and_in_their_simulation():
    out = run({"data": REAL / "nano_dimuon.root", "dy": REAL / "nano_dy.root"}, Dimuon(bins=(30, 76.0, 106.0)))
    flow = out["cutflow"]
    assert [step["events"] for step in flow["data"].values()] == [40, 13, 10, 5]
    assert list(flow["data"]) == ["all", "two muons", "opposite sign", "mass window"]
    peak = out["mass"]["data", "nominal", :]
    found = np.repeat(peak.axes[0].centers, peak.values().astype(int))
    # Five pairs between 89 and 92 GeV by hand from the file: 89.2, 90.1, 90.5, 90.6, 91.9.
    np.testing.assert_array_equal(found, [89.5, 90.5, 90.5, 90.5, 91.5])
    average, error, _ = mean(out["mass"], "dy", "nominal")
    assert abs(average - Z_MASS) < 4 * max(error, 0.8)  # five events of a 2.5 GeV wide resonance, below by radiation
    assert flow["dy"]["all"]["sumw"] != flow["dy"]["all"]["events"]  # generator weights count
    assert out["mass"]["data", "scale_up", :].sum().value == 0  # collisions have no variations
    assert out.metrics["bytes"] < 250_000  # of 700 kB in two files of 1,600 branches


def test_the_z_is_there_in_events_that_we_simulate(folder):
    events, _ = recipe("nano")(50, seed=1, process="zmumu")
    path = write_root(folder / "nano.root", events)
    out = run({"zmumu": path}, Dimuon(bins=(30, 76.0, 106.0)))
    average, error, _ = mean(out["mass"], "zmumu", "nominal")
    assert abs(average - Z_MASS) < 4 * error
    near = out["mass"]["zmumu", "nominal", 86j:96j].sum().value  # two widths of resonance and resolution
    assert near > 0.6 * out["mass"]["zmumu", "nominal", :].sum().value > 5
    assert out["cutflow"]["zmumu"]["all"]["events"] == 50
    jets = run({"zmumu": path}, Dijets(pt=(20.0, 20.0)))["cutflow"]["zmumu"]
    assert jets["all"]["events"] == 50 > jets["two jets"]["events"] > 0


def test_the_peak_is_at_the_mass_of_the_z_and_moves_with_the_momentum_scale(z_peak):
    nominal, error, weights = mean(z_peak["mass"], "zmumu", "nominal")
    assert abs(nominal - Z_MASS) < 4 * error
    for name, factor in (("muon_scale_up", 1.01), ("muon_scale_down", 0.99)):
        moved, _, same = mean(z_peak["mass"], "zmumu", name)
        # The same events move together, so the statistical error cancels but for the few that cross an edge.
        assert moved == pytest.approx(nominal * factor, abs=0.25)
        assert same == pytest.approx(weights, rel=0.1)


def test_weight_variations_scale_the_weights_and_leave_the_peak(z_peak):
    nominal, _, weights = mean(z_peak["mass"], "zmumu", "nominal")
    for name, factor in (("scale_up", 1.1), ("scale_down", 0.9)):
        average, _, varied = mean(z_peak["mass"], "zmumu", name)
        assert varied == pytest.approx(factor * weights, rel=1e-5)
        assert average == pytest.approx(nominal, rel=1e-6)


def test_the_histogram_keeps_sums_of_squared_weights_and_the_cutflow_agrees(z_peak):
    flow = z_peak["cutflow"]["zmumu"]
    events = [step["events"] for step in flow.values()]
    assert events == sorted(events, reverse=True)
    assert flow["all"] == {"events": 3000, "sumw": pytest.approx(0.7 * 0.8 * 3000, rel=0.05),
                           "sumw2": pytest.approx(0.49 * 3000)}  # fmt: skip
    one = z_peak["mass"]["zmumu", "nominal", :]
    assert one.values().sum() == pytest.approx(flow["mass window"]["sumw"])
    assert one.variances().sum() == pytest.approx(flow["mass window"]["sumw2"])
    assert one.variances().sum() > one.values().sum() * 0.7  # negative weights: larger than of as many positive ones


def test_selection_parameters_select(folder, files):
    z1 = files["a_zmumu"][0]

    def left(processor):
        return [step["events"] for step in run(z1, processor)["cutflow"]["events"].values()]

    assert left(Dimuon(pt=(1000.0, 10.0)))[1] == 0
    assert left(Dimuon(eta=1.0))[1] < left(Dimuon())[1]
    with pytest.raises(RunError, match="no branch 'Muon_mediumId'"):
        run(z1, Dimuon(identification="mediumId"))
    with pytest.raises(RunError, match="no branch 'Muon_pfRelIso04_all'"):
        run(z1, Dimuon(isolation=0.15))
    out = run({"x": {"files": [z1], "metadata": {"weight": 2.0}}}, Dimuon())
    assert out["cutflow"]["x"]["all"]["sumw"] == 2 * run(z1, Dimuon())["cutflow"]["events"]["all"]["sumw"]


def test_three_muons_give_the_pair_of_the_two_hardest_and_equal_signs_none(folder):
    columns = {"pt": [[30.0, 50.0, 40.0], [30.0, 40.0]], "eta": [[0.0, 0.0, 0.0], [0.0, 0.0]],
               "phi": [[0.5, 0.0, 3.0], [0.0, 3.0]], "mass": [[0.1] * 3, [0.1] * 2],
               "charge": [[1, -1, 1], [1, 1]]}  # fmt: skip
    muons = ak.values_astype(ak.zip(columns), np.float32)
    out = run(write_tree(folder / "three.root", {"Muon": muons}, ids(2)), Dimuon(bins=(200, 0.0, 200.0)))
    expected = np.sqrt(2 * 50 * 40 * (1 - np.cos(3.0)))
    (place,) = np.flatnonzero(out["mass"]["events", "nominal", :].values())
    assert place == int(expected)


def test_dijet_masses_scale_with_the_jet_energy(folder):
    rng = np.random.default_rng(3)
    n = 2000
    pt = rng.uniform(150, 250, n)
    eta = rng.uniform(-0.5, 0.5, (n, 2))
    columns = {"pt": np.stack([pt, pt * rng.uniform(0.8, 1, n)], 1), "eta": eta,
               "phi": np.tile([0.0, np.pi], (n, 1)), "mass": np.full((n, 2), 20.0)}  # fmt: skip
    jets = ak.unflatten(ak.zip({k: v.reshape(-1).astype(np.float32) for k, v in columns.items()}), np.full(n, 2))
    path = write_tree(folder / "dijets.root", {"Jet": jets}, {**ids(n), "genWeight": np.ones(n, np.float32)})
    out = run(path, Dijets(scale=0.02, bins=(400, 0.0, 800.0)))
    nominal = mean(out["mass"], "events", "nominal")[0]
    assert 300 < nominal < 420
    for name, factor in (("jet_scale_up", 1.02), ("jet_scale_down", 0.98)):
        assert mean(out["mass"], "events", name)[0] == pytest.approx(factor * nominal, rel=1e-3)
    assert list(out["cutflow"]["events"]) == ["all", "two jets", "close in eta", "mass window"]
    far = run(path, Dijets(delta_eta=0.1))["cutflow"]["events"]
    assert far["close in eta"]["events"] == np.sum(
        np.abs(eta[:, 0].astype(np.float32) - eta[:, 1].astype(np.float32)) < 0.1
    )


def test_masses_are_right_where_single_precision_is_not():
    one = ak.Array({"pt": [500.0], "eta": [2.4], "phi": [0.0], "mass": [0.1056584]})
    two = ak.Array({"pt": [500.0], "eta": [2.4], "phi": [1e-4], "mass": [0.1056584]})
    expected = np.sqrt(4 * 0.1056584**2 + (500 * 1e-4) ** 2)
    assert pair_mass(one, two)[0] == pytest.approx(expected, rel=1e-3)


def test_cutflow_is_a_running_and():
    flow = Cutflow(np.array([1.0, 2.0, -1.0]))
    flow.cut("first", np.array([True, True, False]))
    flow.cut("second", ak.Array([None, True, True]))
    assert flow.steps["second"] == {"events": 1, "sumw": 2.0, "sumw2": 4.0}
    assert flow.passed.tolist() == [False, True, False]
