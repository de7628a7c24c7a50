"""R-ANODE: the likelihood finds the injected fraction, and draws look like the signal."""

import numpy as np
import pytest
import torch

from hepml_nb import stats
from hepml_nb.anomaly import make, problems
from hepml_nb.anomaly.ranode import Mixture, RAnodeConfig
from hepml_nb.core import InputError, RunError

SETTINGS = {"lr": 5e-3, "batch_size": 512, "epochs": 8}


@pytest.fixture(scope="module")
def found(planted):
    return planted, make("ranode", "small", **SETTINGS).fit(planted.sideband, planted.signal_region, seed=0)


def test_the_fraction_is_that_injected(found):
    """Within a factor: the fourth of the signal that looks like background cannot be told apart."""
    problem, method = found
    true = problem.signal_region.labels.mean()
    assert 0.5 * true < method.fraction < 1.6 * true


def test_without_signal_the_fraction_is_smaller(found):
    _, method = found
    problem = problems.toy(20_000, 0, 2, test_background=100, test_signal=100)
    none = make("ranode", "small", **SETTINGS).fit(problem.sideband, problem.signal_region, seed=0)
    assert none.fraction < 0.5 * method.fraction


def test_it_finds_the_signal_and_draws_it(found):
    problem, method = found
    assert stats.auc(problem.test.labels, method.score(problem.test)).value > 0.7
    drawn, true = method.signal(2000, 1), problem.signal
    assert np.median(drawn.mjj) == pytest.approx(np.median(true.mjj), abs=0.05)
    background = np.median(problem.background.features, axis=0)
    for i in (1, 3):  # the columns in which they differ most
        ours, theirs = np.median(drawn.features[:, i]), np.median(true.features[:, i])
        assert abs(ours - theirs) < 0.5 * abs(background[i] - theirs)


def test_the_loss_is_the_likelihood_of_the_mixture():
    config = RAnodeConfig(signal_transforms=1, signal_hidden=(8,), fraction=0.2, pace=7.0)
    model = Mixture(config, 2)
    y, log_b = torch.randn(50, 3), torch.randn(50)
    with torch.no_grad():
        p = 0.2 * model.signal.log_prob(y).exp() + 0.8 * log_b.exp()
        assert float(model.loss(y, log_b)) == pytest.approx(float(-p.log().mean()), rel=1e-4)
    assert model.fraction == pytest.approx(0.2, rel=1e-5)


def test_a_fixed_fraction_stays():
    problem = problems.toy(4000, 100, 1, test_background=100, test_signal=100)
    method = make("ranode", "small", learn_fraction=False, fraction=0.03, epochs=1, splits=2)
    assert method.fit(problem.sideband, problem.signal_region).fraction == pytest.approx(0.03, rel=1e-5)


def test_bad_input():
    with pytest.raises(InputError, match="fraction"):
        RAnodeConfig(fraction=0)
    with pytest.raises(InputError, match="pace"):
        RAnodeConfig(pace=0)
    with pytest.raises(RunError, match="fit"):
        _ = make("ranode").fraction
