"""Quantification learners: shares under label shift, IBU where probabilities are bins, fakes, what is refused."""

import numpy as np
import pytest

from hepml_nb.core import InputError, rng
from hepml_nb.unfolding import Measured, make
from hepml_nb.unfolding.ibu import iterate
from hepml_nb.unfolding.problems import gaussian
from hepml_nb.unfolding.quantify import Emq, EmqConfig, QuantifyConfig, expectation_maximisation

EDGES = np.linspace(-1.6, 1.6, 5)


def test_emq_with_one_hot_bins_is_ibu():
    """Where probabilities are those of bins, Saerens' iteration is D'Agostini's."""
    generator = rng(0, "emq")
    joint = generator.random((6, 4))  # bins after, classes before
    prior, counts = joint.sum(axis=0), generator.integers(50, 100, 6).astype(float)
    of_bins = joint / joint.sum(axis=1, keepdims=True)
    by_events = expectation_maximisation(of_bins, counts, prior, 7)
    assert np.allclose(by_events, iterate(joint / prior, counts, prior, 7)[0][-1])
    assert expectation_maximisation(of_bins, counts, prior, 0).sum() == pytest.approx(counts.sum())


@pytest.mark.parametrize("name", ["acc", "pacc", "emq"])
def test_a_second_observable_that_helps_lowers_the_errors(name):
    """A better measured copy of the observable is used; bins of one column after the detector would not see it."""
    simulation, measured, truth = gaussian(6000, 1)
    better = rng(1, "better").normal(0, 0.1, (2, 6000))
    sim = np.stack([simulation.sim[:, 0], simulation.gen[:, 0] + better[0]], axis=1)
    seen = Measured(np.stack([measured.sim[:, 0], truth[:, 0] + better[1]], axis=1))
    with_it = type(simulation)(simulation.gen, sim, names=("x0",), sim_names=("x0", "copy"))
    plain = make(name, bins=EDGES).fit(simulation, measured).spectrum(0, EDGES)
    helped = make(name, bins=EDGES).fit(with_it, seen).spectrum(0, EDGES)
    counts = np.histogram(truth[:, 0], EDGES)[0]
    assert np.abs((helped.values - counts) / counts).max() < 0.08
    assert name == "emq" or helped.errors.mean() < 0.8 * plain.errors.mean()  # emq is regularised by stopping early


def test_background_and_fakes_are_taken_off():
    simulation, measured, truth = gaussian(6000, 2, losses=True)
    background = rng(2, "background").normal(1, 0.3, 2000)
    seen = Measured(np.concatenate([measured.sim[:, 0], background[:500]]), background=background[500:],
                    background_weights=np.full(1500, 1 / 3))  # fmt: skip
    edges = np.linspace(-1, 2, 4)
    made = make("pacc", bins=edges).fit(simulation, seen).spectrum("x0", edges)
    counts = np.histogram(truth[:, 0], edges)[0]
    assert np.abs((made.values - counts) / made.errors).max() < 4
    assert made.values.sum() == pytest.approx(counts.sum(), rel=0.06)


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="at least 20, 1 and 2"):
        QuantifyConfig(trees=3)
    simulation, measured, _ = gaussian(500)
    made = Emq(EmqConfig(bins=EDGES)).fit(simulation, measured, untrained=True)
    with pytest.raises(InputError, match="call fit"):
        made._estimate(made.response, made.counts)
