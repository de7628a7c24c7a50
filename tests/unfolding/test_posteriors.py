"""Scores of posterior draws where the posterior is known."""

import numpy as np
import pytest
from scipy.stats import kstest

from hepml_nb import stats
from hepml_nb.core import InputError
from hepml_nb.unfolding.posteriors import coverage, crps, ranks

N = 4000
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=N)
TRUTH = MEAN + 0.5 * RNG.normal(size=N)
EXACT = MEAN[:, None] + 0.5 * RNG.normal(size=(N, 100))


def test_exact_draws_are_calibrated_and_narrow_ones_are_not():
    assert kstest(ranks(EXACT, TRUTH), "uniform").pvalue > 0.01
    found = coverage(EXACT, TRUTH)
    assert abs(found.value - found.floor) < 4 * found.error
    narrow = MEAN[:, None] + 0.4 * (EXACT - MEAN[:, None])
    assert coverage(narrow, TRUTH).value < 0.4
    assert kstest(ranks(narrow, TRUTH), "uniform").pvalue < 1e-6


def test_crps_of_a_normal_is_the_closed_form_and_no_draws_score_better():
    found = crps(EXACT, TRUTH)
    assert found.value == pytest.approx(0.5 / np.sqrt(np.pi), abs=4 * found.error)  # sigma / sqrt(pi)
    for worse in (EXACT + 0.3, MEAN[:, None] + 2 * (EXACT - MEAN[:, None]), np.repeat(MEAN[:, None], 5, 1)):
        assert crps(worse, TRUTH).value > found.value + 4 * found.error


def test_one_draw_scores_its_distance_and_many_are_fair():
    assert crps(EXACT[:, :1], TRUTH).value == pytest.approx(np.abs(EXACT[:, 0] - TRUTH).mean())
    assert crps(EXACT[:, :3], TRUTH).value == pytest.approx(crps(EXACT, TRUTH).value, abs=0.02)


def test_trainings_are_compared_on_the_same_events():
    good = crps([EXACT, EXACT[:, ::2], EXACT[:, 1::2]], TRUTH)
    poor = crps([EXACT + 0.2, EXACT[:, ::2] + 0.2, EXACT[:, 1::2] + 0.2], TRUTH)
    assert stats.claim("exact draws beat shifted ones", good, poor).outcome == "holds"


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="do not fit"):
        ranks(EXACT, TRUTH[:-1])
    with pytest.raises(InputError, match="finite"):
        crps(np.full((3, 2), np.nan), np.zeros(3))
    with pytest.raises(InputError, match="level=1"):
        coverage(EXACT, TRUTH, 1.0)
