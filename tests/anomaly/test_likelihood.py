"""The flow's likelihood: it is the density's, it finds what is rare, and given the mass it asks another question."""

import numpy as np
import pytest

from hepml_nb.anomaly import Events, make
from hepml_nb.stats import auc


def drifting(n, seed, mjj=None, shift=0.0):
    """Two normal features, the first with a mean that follows the mass."""
    g = np.random.default_rng(seed)
    mass = g.uniform(3, 4, n) if mjj is None else np.full(n, mjj)
    return Events(mass, np.c_[4 * (mass - 3.5) + shift + 0.5 * g.normal(size=n), g.normal(size=n)])


def found(method, usual, odd):
    labels = np.r_[np.zeros(len(usual)), np.ones(len(odd))]
    return auc(labels, np.r_[method.score(usual), method.score(odd)]).value


def test_the_score_is_the_negative_log_density():
    g = np.random.default_rng(0)
    events = Events(np.full(6000, 3.5), g.normal(size=(6000, 2)) * [2.0, 0.5])
    method = make("flow-likelihood").learn(events)
    x = events.features[:500] / [2.0, 0.5]
    exact = 0.5 * (x**2).sum(axis=1) + np.log(2 * np.pi)  # log(2 x 0.5) = 0
    core = (x**2).sum(axis=1) < 4
    assert np.abs(method.score(events[:500])[core] - exact[core]).mean() < 0.12


def test_given_the_mass_other_events_are_odd():
    events = drifting(6000, 0)
    alone, given = (make("flow-likelihood", given_mass=how).learn(events) for how in (False, True))
    usual, odd = drifting(1000, 1, mjj=3.5), drifting(1000, 2, mjj=3.5, shift=1.5)
    assert found(given, usual, odd) > 0.93  # three standard deviations
    assert found(alone, usual, odd) < 0.75  # usual at another mass
    untrained = make("flow-likelihood", given_mass=True).learn(events, untrained=True)
    assert found(untrained, usual, odd) < 0.8


def test_a_density_depends_on_the_coordinates():
    g = np.random.default_rng(0)
    x = np.exp(g.normal(size=(3000, 2)))
    plain = make("flow-likelihood").learn(Events(np.full(3000, 3.5), x))
    logs = make("flow-likelihood").learn(Events(np.full(3000, 3.5), np.log(x)))
    small = np.full((50, 2), 0.1)  # rare, but where events are dense in x
    both = np.r_[x[:500], small]
    scores = [one.score(Events(np.full(550, 3.5), f)) for one, f in ((plain, both), (logs, np.log(both)))]
    rank = [float((s[:500] < s[500:].mean()).mean()) for s in scores]
    assert rank[1] > rank[0] + 0.1


def test_bad_input():
    with pytest.raises(Exception, match="kind='spline' is unknown"):
        make("flow-likelihood", kind="spline").learn(drifting(100, 0))
