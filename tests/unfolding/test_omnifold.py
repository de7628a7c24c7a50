"""OmniFold on sets of particles, and how sets are given, checked and taken."""

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig
from hepml_nb.unfolding import Measured, Simulation
from hepml_nb.unfolding.omnifold import OmniFold, OmniFoldConfig
from hepml_nb.unfolding.sets import Sets, jet_sets, join, take

SMALL = OmniFoldConfig(
    iterations=2, phi=(8,), f=(8,), fit=FitConfig(epochs=8, lr=0.02, batch_size=64, patience=None, threads=1)
)


def shower(n, mean, generator):
    """Sets of particles that are all alike, so that only their number tells; the detector loses a tenth of them."""
    lengths = generator.poisson(mean, n) + 1
    seen = generator.binomial(lengths, 0.9)
    return tuple(Sets(np.ones((some.sum(), 1), "f4"), some) for some in (lengths, seen))


def bayes(gen, sim, measured, iterations):
    """D'Agostini's iteration on the number of particles alone, all there is to know here."""
    joint = np.histogram2d(gen, sim, [np.arange(-0.5, 30)] * 2)[0]
    prior, response = joint.sum(1), joint / np.maximum(joint.sum(1, keepdims=True), 1)
    counts, truth = np.bincount(measured, minlength=30), prior
    for _ in range(iterations):
        folded = np.maximum(truth @ response, 1e-9)
        truth = truth * (response @ (counts * (folded > 1e-6) / folded))
    return truth @ np.arange(30) / truth.sum()


def test_the_number_of_particles_is_unfolded_though_no_observable_holds_it():
    generator = np.random.default_rng(0)
    gen, sim = shower(3000, 6, generator)
    _, measured = shower(3000, 7, generator)
    blind = np.zeros(3000)
    simulation = Simulation(blind, blind, gen_sets=gen, sim_sets=sim)
    fitted = OmniFold(SMALL).fit(simulation, Measured(blind, sets=measured))
    for iteration in (1, 2):
        weights = fitted.after(iteration).weights
        exact = bayes(gen.lengths, sim.lengths, measured.lengths, iteration)
        assert weights.sum() == pytest.approx(3000)
        assert weights @ gen.lengths / weights.sum() == pytest.approx(exact, abs=0.2)
    assert exact > gen.lengths.mean() + 0.7


def test_events_without_particles_are_asked_for():
    simulation = Simulation(np.zeros(5), np.zeros(5))
    with pytest.raises(InputError, match="gen_sets, sim_sets, sets are not given"):
        OmniFold(SMALL).fit(simulation, Measured(np.zeros(5)))
    sets = Sets(np.zeros((5, 1)), np.ones(5, int))
    with pytest.raises(InputError, match="background_sets"):
        OmniFold(SMALL).fit(
            Simulation(np.zeros(5), np.zeros(5), gen_sets=sets, sim_sets=sets),
            Measured(np.zeros(5), sets=sets, background=np.zeros(2)),
        )


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((np.zeros((3, 1)), [1, 2]), "one count per event"),
        ((np.zeros((3, 1)), [1, 1, 2]), "add up to 4"),
        ((np.full((3, 1), np.nan), [1, 1, 1]), "NaN or infinite for 3"),
        ((np.zeros((3, 1)), [4, -1, 0]), "one count per event"),
    ],
)
def test_bad_sets_are_refused(sets, words):
    with pytest.raises(InputError, match=words):
        Simulation(np.zeros(3), np.zeros(3), gen_sets=sets)


def test_sets_are_taken_in_any_order_and_joined():
    sets = Sets(np.arange(6, dtype="f4")[:, None], np.array([1, 0, 3, 2]))
    some = take(sets, np.array([3, 0, 1]))
    assert some.lengths.tolist() == [2, 1, 0]
    assert some.values[:, 0].tolist() == [4, 5, 0]
    assert take(sets, np.array([False, False, True, False])).values[:, 0].tolist() == [1, 2, 3]
    whole = join(take(sets, np.array([0, 1])), take(sets, np.array([2, 3])))
    assert np.array_equal(whole.values, sets.values)
    assert np.array_equal(whole.lengths, sets.lengths)


def test_particles_become_kinematics_and_kinds():
    particles = ak.Array(
        [[{"pt": 1.0, "dy": 0.1, "dphi": -0.1, "pdg": -211}, {"pt": 2.0, "dy": 0, "dphi": 0, "pdg": 22}], []]
    )
    sets = jet_sets(particles)
    assert sets.lengths.tolist() == [2, 0]
    assert sets.values[0] == pytest.approx([0, 0.1, -0.1, 1, 0, 0, 0])
    assert sets.values[1] == pytest.approx([np.log(2), 0, 0, 0, 0, 1, 0])
