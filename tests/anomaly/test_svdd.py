"""Deep SVDD: a sphere that cannot be had for nothing, and what lies outside of it."""

import numpy as np
import pytest

from hepml_nb.anomaly import Events, make
from hepml_nb.core import InputError
from hepml_nb.stats import auc


def ray(n, seed, odd=False):
    """Events along a direction; odd ones of the same sizes lie along another."""
    g = np.random.default_rng(seed)
    size = g.uniform(0.3, 1, n)
    direction = [1.0, 0.5, 0.2] if odd else [0.2, 1.0, 0.5]
    return Events(np.full(n, 3.5), size[:, None] * direction + 0.1 * g.normal(size=(n, 3)))


def found(method):
    labels = np.r_[np.zeros(1000), np.ones(1000)]
    return auc(labels, np.r_[method.score(ray(1000, 1)), method.score(ray(1000, 2, odd=True))]).value


def test_events_of_another_direction_are_outside():
    learnt, untrained = (make("deep-svdd").learn(ray(3000, 0), untrained=how) for how in (False, True))
    assert found(learnt) > 0.85
    assert found(untrained) < found(learnt) - 0.1


def test_the_score_is_the_squared_distance_and_the_sphere_shrinks():
    events = ray(2000, 0)
    method = make("deep-svdd").learn(events)
    assert method.history.val_loss[-1] < 0.8 * method.history.val_loss[0]
    assert (method.score(events) >= 0).all()
    assert float(method.score(events).mean()) == pytest.approx(method.history.train_loss[-1], rel=0.3)


def test_there_is_no_bias_and_the_centre_stays_from_zero():
    method = make("deep-svdd").learn(ray(500, 0))
    assert not any("bias" in name for name, _ in method.model.map.named_parameters())
    assert float(method.model.centre.abs().min()) >= 0.1 - 1e-6


def test_bad_input():
    with pytest.raises(InputError, match="sphere=0"):
        make("deep-svdd", sphere=0)
