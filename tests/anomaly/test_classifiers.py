"""Ratios learnt by trees and networks: near the known one, balanced, averaged over the best epochs, and guarded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from hepml_nb.anomaly.classifiers import (
    CONFIGS,
    NETWORK,
    SMALL_NETWORK,
    SMALL_TREES,
    TREES,
    ClassifierConfig,
    RatioClassifier,
    balanced_weights,
)  # fmt: skip
from hepml_nb.core import InputError, RunError

SMALL = {
    "trees": replace(SMALL_TREES, members=4),
    "network": replace(SMALL_NETWORK, fit=replace(SMALL_NETWORK.fit, epochs=8)),
}


def _gaussians(n0: int, n1: int, seed: int = 0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n0, 2)), generator.normal(size=(n1, 2)) + np.array([1.0, 0.0])


@pytest.mark.parametrize("kind", ["trees", "network"])
def test_the_probability_is_that_of_balanced_classes(kind: str):
    """p / (1 - p) is the ratio of the densities, however unequal the samples are."""
    made = RatioClassifier(SMALL[kind]).fit(*_gaussians(9000, 3000), seed=1)
    x = np.column_stack([np.linspace(-1, 2, 7), np.zeros(7)])
    assert np.abs(made.probability(x) - expit(x[:, 0] - 0.5)).max() < 0.08


@pytest.mark.parametrize("kind", ["trees", "network"])
def test_nothing_to_learn_is_one_half(kind: str):
    generator = np.random.default_rng(0)
    made = RatioClassifier(SMALL[kind]).fit(generator.normal(size=(3000, 2)), generator.normal(size=(3000, 2)))
    assert np.abs(made.probability(generator.normal(size=(500, 2))) - 0.5).mean() < 0.06


def test_the_epochs_of_lowest_validation_loss_are_averaged():
    config = replace(SMALL["network"], best=3)
    x0, x1 = _gaussians(2000, 2000)
    made = RatioClassifier(config).fit(x0, x1, seed=2)
    (member,) = made._members
    assert len(member.models) == 3
    alone = [type(member)([model])(x0[:50]) for model in member.models]
    assert np.allclose(made.probability(x0[:50]), np.mean(alone, axis=0))
    assert np.ptp(alone, axis=0).max() > 0


def test_the_trees_after_the_best_validation_loss_are_left_out():
    made = RatioClassifier(replace(SMALL["trees"], members=1)).fit(*_gaussians(400, 400), seed=1)
    (member,) = made._members
    losses = -member.model.validation_score_  # after 0, 1, ... trees
    assert 0 < member.best == np.argmin(losses) < len(losses) - 1
    x = made._prepared(_gaussians(300, 1)[0])
    stages = list(member.model.staged_predict_proba(x))
    assert np.array_equal(member(x), stages[member.best - 1][:, 1])
    assert not np.array_equal(member(x), stages[-1][:, 1])


def test_members_differ_and_average():
    x0, x1 = _gaussians(2000, 2000)
    made = RatioClassifier(SMALL["trees"]).fit(x0, x1, seed=2)
    alone = [member(made._prepared(x0)) for member in made._members]
    assert np.ptp(alone, axis=0).max() > 0
    assert np.allclose(made.probability(x0), np.mean(alone, axis=0))


def test_configurations_say_what_was_published():
    assert (NETWORK.hidden, NETWORK.fit.epochs, NETWORK.fit.batch_size, NETWORK.best) == ((64, 64, 64), 100, 128, 10)
    assert (TREES.members, TREES.trees, TREES.leaves) == (50, 100, 31)
    assert set(CONFIGS) == {"paper", "trees", "small", "small-network"}
    assert balanced_weights(np.array([0, 0, 0, 1.0])).tolist() == [2 / 3, 2 / 3, 2 / 3, 2.0]


def test_bad_input():
    for wrong in ({"kind": "forest"}, {"members": 0}, {"validation": 1.0}, {"learning_rate": 0.0}, {"best": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            ClassifierConfig(**wrong)
    with pytest.raises(RunError, match="fitted"):
        RatioClassifier().probability(np.zeros((3, 2)))
    with pytest.raises(InputError, match="shapes"):
        RatioClassifier().fit(np.zeros((10, 2)), np.zeros((10, 3)))
    with pytest.raises(InputError, match="at least 4"):
        RatioClassifier().fit(np.zeros((3, 2)), np.zeros((10, 2)))
    made = RatioClassifier(SMALL["trees"]).fit(*_gaussians(200, 200), untrained=True)
    assert (made.probability(np.zeros((3, 2))) == 0.5).all()
    with pytest.raises(InputError, match="as in the fit"):
        made.probability(np.zeros((3, 5)))
