"""The funnel: fewer dimensions, an exact density."""

import numpy as np
import pytest
import torch

from hepml_nb.anomaly import Events, make
from hepml_nb.core import InputError
from hepml_nb.stats import auc


def correlated(n, seed):
    g = np.random.default_rng(seed)
    u = g.normal(size=n)
    return np.c_[2 * u, u + 0.5 * g.normal(size=n)]


def exact(x):
    """-log p of those events."""
    cov = np.array([[4, 2], [2, 1.25]])
    return 0.5 * np.einsum("ni,ij,nj->n", x, np.linalg.inv(cov), x) + 0.5 * np.log(np.linalg.det(2 * np.pi * cov))


def test_the_density_is_normalised_and_that_of_the_events():
    x = correlated(4000, 0)
    method = make("funnel", kept=1, batch_size=128).learn(Events(np.full(4000, 3.5), x))
    edge = torch.linspace(-12, 12, 241)
    grid = torch.cartesian_prod(edge, edge / 2)
    with torch.no_grad():
        density = method.model.log_prob(grid).exp()
        assert method.model.latent(grid).shape == (len(grid), 1)
    assert float(density.sum()) * 0.1 * 0.05 == pytest.approx(1, abs=0.02)
    new = correlated(1000, 1)
    core = np.abs(new[:, 0]) < 4
    scores = method.score(Events(np.full(1000, 3.5), new))
    assert np.abs(scores - exact(new))[core].mean() < 0.25


def test_events_off_the_line_are_found():
    x, new = correlated(4000, 0), correlated(1000, 1)
    odd = np.c_[new[:, 0], -new[:, 1]]
    test = Events(np.full(2000, 3.5), np.r_[new, odd])
    labels = np.repeat([0, 1], 1000)
    learnt, untrained = (
        auc(labels, make("funnel", kept=1).learn(Events(np.full(4000, 3.5), x), untrained=how).score(test)).value
        for how in (False, True)
    )
    best = auc(labels, exact(np.r_[new, odd])).value
    assert best - 0.03 < learnt < best + 0.03
    assert untrained < 0.65


def test_bad_input():
    with pytest.raises(InputError, match="kept=2 for 2 features; expected 1 to 1"):
        make("funnel", kept=2).learn(Events(np.full(100, 3.5), correlated(100, 0)))
