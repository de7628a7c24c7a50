"""LaCATHODE: a classifier in the latent space does not bend the spectrum, unlike one of the features."""

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.anomaly import ClassifierConfig, Events, make, problems
from hepml_nb.anomaly.closure import sculpted
from hepml_nb.core import InputError, RunError
from hepml_nb.simulate.resonance import ResonanceToy

TREES = ClassifierConfig(members=2)
SETTINGS = {"lr": 5e-3, "batch_size": 512, "epochs": 8, "classifier": TREES}


@pytest.fixture(scope="module")
def shifted():
    problem = problems.toy(20_000, 500, 1, shift=0.1, test_background=4000, test_signal=1000)
    return problem, make("lacathode", "small", **SETTINGS).fit(problem.sideband, problem.signal_region, seed=0)


def test_it_finds_a_signal_though_features_follow_the_mass(shifted):
    problem, method = shifted
    cwola = make("cwola", TREES).fit(problem.sideband, problem.signal_region, seed=0)
    ours, theirs = (stats.auc(problem.test.labels, m.score(problem.test)).value for m in (method, cwola))
    assert ours > 0.62
    assert ours > theirs


def test_it_does_not_sculpt_where_cwola_does(shifted):
    problem, method = shifted
    table = ResonanceToy(0.1).background(40_000, 9)
    background = Events(table[:, 0], table[:, 1:], problems.COLUMNS)
    cwola = make("cwola", TREES).fit(problem.sideband, problem.signal_region, seed=0)
    ours, theirs = (sculpted(background.mjj, m.score(background), efficiency=0.02) for m in (method, cwola))
    assert ours.value < 0.2 * theirs.value
    assert theirs.value > 5 * theirs.floor


def test_latent_numbers_are_normal_in_the_window(shifted):
    problem, method = shifted
    z = method.latent(problem.test[problem.test.labels == 0])
    assert np.allclose(z.mean(axis=0), 0, atol=0.15)
    assert np.allclose(z.std(axis=0), 1, atol=0.15)


def test_bad_input():
    problem = problems.toy(2000, 20, 1, test_background=100, test_signal=100)
    with pytest.raises(RunError, match="fit"):
        make("lacathode").latent(problem.test)
    with pytest.raises(InputError, match="latent space"):
        make("lacathode", "small", generator="flow-matching").fit(problem.sideband, problem.signal_region)
