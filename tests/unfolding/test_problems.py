"""Problems: the Gaussian one with losses, Z + jet with background, the top's mass, and what ships of them."""

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, rng
from hepml_nb.unfolding import problems


def _events(n=4000):
    generator = rng(0, "events")
    gen_mult, label = generator.poisson(20, n), np.arange(n) % 2
    columns = {"gen_mult": gen_mult, "sim_mult": gen_mult + generator.integers(-2, 3, n), "label": label}
    columns |= {"gen_mass": gen_mult * 1.5, "sim_mass": gen_mult * 1.4}
    columns |= {"pass_gen": generator.random(n) < 0.9, "pass_sim": generator.random(n) < 0.8}
    return ak.zip(columns)


def test_the_gaussian_closes_where_asked_to_and_loses_events():
    simulation, measured, truth = problems.gaussian(20_000, 3)
    assert truth.mean() == pytest.approx(0.4, abs=0.03)
    assert len(simulation) == len(measured) == len(truth) == 20_000
    closed = problems.gaussian(20_000, 3, dimensions=2, closure=True)
    assert closed.truth.shape == (20_000, 2)
    assert closed.truth.mean() == pytest.approx(0, abs=0.03)
    assert not np.array_equal(closed.truth, closed.simulation.gen)
    lost = problems.gaussian(20_000, 3, losses=True)
    assert 0.02 < (~lost.simulation.pass_gen).mean() < 0.1
    assert 0.1 < (~lost.simulation.pass_sim).mean() < 0.3
    assert lost.truth.min() > -1
    assert lost.measured.sim.min() > -1


def test_zjets_keeps_the_truth_apart_and_scales_the_simulation():
    events = _events()
    simulation, measured, truth = problems.zjets(events, ["mult", "mass"])
    nature = events[events.label == 1]
    assert simulation.names == ("mult", "mass")
    assert len(measured) == ak.sum(nature.pass_sim)
    assert np.array_equal(truth[:, 0], ak.to_numpy(nature.gen_mult[nature.pass_gen]))
    passing = simulation.pass_gen | simulation.pass_sim
    assert simulation.weights[passing].sum() == pytest.approx(ak.sum(nature.pass_gen | nature.pass_sim))
    other = problems.zjets(events, ["mult"], simulation=1, nature=0)
    assert len(other.simulation) == len(nature)


def test_background_is_measured_and_its_template_has_other_events():
    events = _events()
    clean, _ = problems.zjets(events, ["mult"])[1:]
    simulation, measured, _ = problems.zjets(events, ["mult"], background=0.04, seed=2)
    added = len(measured) - len(clean)
    assert added == pytest.approx(0.04 * len(clean), abs=4 * np.sqrt(0.04 * len(clean)))
    assert measured.background_weights.sum() == pytest.approx(added)
    assert measured.background.mean() > clean.sim.mean() + 0.5  # gluons are fuller
    assert len(simulation) == 1600


def test_bad_requests_are_refused():
    with pytest.raises(InputError, match="mult"):
        problems.zjets(_events(), ["mul"])
    with pytest.raises(InputError, match=r"labels there are \[0, 1\]"):
        problems.zjets(_events(), ["mult"], nature=2)
    with pytest.raises(InputError, match="background events are wanted"):
        problems.zjets(_events(), ["mult"], background=1.0)
    with pytest.raises(InputError, match="positive"):
        problems.zjets(_events(), ["mult"], background=-1.0)


@pytest.mark.parametrize("name", ["zjets", "zjets-losses"])
def test_what_ships_makes_a_problem(name):
    simulation, measured, truth = problems.zjets(data.load(name, profile="smoke").split("train"))
    assert simulation.names == problems.OBSERVABLES == tuple(problems.ZJETS_BINS)
    assert (name == "zjets") == bool(simulation.pass_gen.all() and simulation.pass_sim.all())
    assert measured.sim.shape[1] == truth.shape[1] == 6
    for i, edges in enumerate(problems.ZJETS_BINS.values()):
        assert ((truth[:, i] >= edges[0]) & (truth[:, i] <= edges[-1])).mean() > 0.97


def test_the_top_mass_never_simulates_with_measured_events():
    events = data.load("ttbar-mass", profile="smoke").split("train")
    for half in (0, 1):
        simulation, measured, truth = problems.ttbar(events, simulation=range(5), nature=4, half=half)
        simulated, seen = simulation.sim[simulation.pass_sim], measured.sim
        assert simulation.names == ("mass",)
        assert not {*map(tuple, simulated)} & {*map(tuple, seen)}
        assert np.median(truth) == pytest.approx(175.5, abs=0.2)
        assert 0.25 < simulation.pass_sim.mean() < 0.45  # two b tags
        assert np.nanmin(simulation.gen) > problems.TOP_WINDOW[0]
        measured_label = ak.to_numpy(events.label)[half::2] == 4
        assert simulation.weights.sum() == pytest.approx(measured_label.sum())
    both = [len(problems.ttbar(events, nature=4, half=half).measured) for half in (0, 1)]
    tagged = np.isfinite(ak.to_numpy(events.m_bjj))
    assert sum(both) == (tagged & (ak.to_numpy(events.label) == 4)).sum()


def test_the_masses_have_equal_parts_and_events_keep_their_weights():
    events = data.load("ttbar-mass", profile="smoke").split("train")
    label = ak.to_numpy(events.label)[1::2]
    simulation = problems.ttbar(events, simulation=(0, 1), nature=2).simulation
    ours = np.concatenate([label[label == 0], label[label == 1]])
    first, second = (simulation.weights[ours == one].sum() for one in (0, 1))
    assert first == pytest.approx(second)
    doubled = problems.ttbar(events, weights=np.full(len(events), 2.0))
    assert np.allclose(doubled.simulation.weights, 2 * problems.ttbar(events).simulation.weights)
    assert (doubled.measured.weights == 2).all()
    with pytest.raises(InputError, match="labels with events are"):
        problems.ttbar(events, nature=7)
