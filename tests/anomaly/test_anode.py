"""ANODE: the ratio of two densities, zero without a signal and high where one is."""

import numpy as np
import pytest

from hepml_nb import stats
from hepml_nb.anomaly import make, problems
from hepml_nb.core import InputError, RunError

SETTINGS = {"lr": 5e-3, "batch_size": 512, "epochs": 8}


@pytest.fixture(scope="module")
def found(planted):
    return planted, make("anode", "small", **SETTINGS).fit(planted.sideband, planted.signal_region, seed=0)


def test_the_score_is_the_difference_of_two_log_densities(found):
    problem, method = found
    few = problem.test[:100]
    inside, outside = (d.log_prob(few.mjj, few.features) for d in (method.inside, method.outside))
    assert np.allclose(method.score(few), inside - outside)


def test_it_finds_a_signal(found):
    problem, method = found
    assert stats.auc(problem.test.labels, method.score(problem.test)).value > 0.6


def test_on_background_the_mean_ratio_is_one(found):
    """Drawn from the sideband's density, the ratio of two normalised densities has the mean one."""
    problem, method = found
    masses = problem.signal_region.mjj
    ratio = np.exp(method.inside.log_prob(masses, x := method.outside.sample(masses, 1))
                   - method.outside.log_prob(masses, x))  # fmt: skip
    trimmed = np.sort(ratio)[: -len(ratio) // 200]  # the mean of what is left: tails weigh the most, and are not known
    assert 0.8 < trimmed.mean() < 1.1


def test_bad_input():
    problem = problems.toy(2000, 20, 1, test_background=100, test_signal=100)
    with pytest.raises(RunError, match="fit"):
        make("anode").score(problem.test)
    with pytest.raises(InputError, match="transforms"):
        make("anode", "small", transforms=0).fit(problem.sideband, problem.signal_region)
