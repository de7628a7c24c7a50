"""Reliability and ECE: equal-count bins, and a floor that a perfectly calibrated classifier meets."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.core import InputError


def calibrated(seed, n=3000):
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 0.7, size=n)
    return rng.random(n) < probability, probability


def test_bins_hold_equal_counts_and_straddle_the_diagonal():
    labels, probability = calibrated(1, 3001)
    got = stats.reliability(labels, probability)
    assert got.n.sum() == 3001
    assert got.n.max() - got.n.min() <= 1
    assert (np.diff(got.predicted) > 0).all()
    inside = (got.low <= got.predicted) & (got.predicted <= got.high)
    assert inside.mean() > 0.4
    assert (np.abs(got.observed - got.predicted) < 4 * got.error).all()


def test_equal_probabilities_share_a_bin():
    labels = np.tile([0, 1], 50)
    got = stats.reliability(labels, np.full(100, 0.5))
    assert got.n.tolist() == [100]
    assert stats.ece(labels, np.full(100, 0.5)).value == 0
    few = stats.reliability(labels, np.repeat([0.2, 0.9], [30, 70]), bins=10)
    assert few.n.tolist() == [30, 70]


def test_ece_equals_the_sum_by_hand():
    labels, probability = [0, 1, 0, 1, 1, 1], [0.1, 0.3, 0.2, 0.8, 0.7, 0.9]
    # bins of two: (0.1, 0.2), (0.3, 0.7), (0.8, 0.9) with 0, 2, 2 signal
    by_hand = (abs(0 - 0.3) + abs(2 - 1.0) + abs(2 - 1.7)) / 6
    assert stats.ece(labels, probability, bins=3).value == pytest.approx(by_hand)


def test_a_calibrated_classifier_scores_the_floor_and_an_overconfident_one_more():
    results = [stats.ece(*calibrated(seed), n_boot=50, seed=seed) for seed in range(60)]
    values = np.array([r.value for r in results])
    assert values.mean() == pytest.approx(np.mean([r.floor for r in results]), rel=0.08)
    assert 0.6 < np.mean([r.error for r in results]) / values.std() < 1.4
    labels, probability = calibrated(0)
    logit = np.log(probability / (1 - probability))
    overconfident = stats.ece(labels, 1 / (1 + np.exp(-3 * logit)))
    assert overconfident.value > overconfident.floor + 5 * overconfident.error
    assert overconfident.better == "lower"


def test_what_is_no_probability_is_refused():
    with pytest.raises(InputError, match="sigmoid"):
        stats.ece([0, 1], [-2.0, 3.0])
    with pytest.raises(InputError, match="bins=3 for 2 events"):
        stats.reliability([0, 1], [0.1, 0.9], bins=3)
    with pytest.raises(InputError, match="probabilities holds 1 nan"):
        stats.reliability([0, 1], [0.1, np.nan])
