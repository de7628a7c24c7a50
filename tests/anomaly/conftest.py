"""A falling mass spectrum whose expectation is known, shared by the tests of the bump hunt."""

import numpy as np
import pytest

from hepml_nb.anomaly.background import dijet

EDGES = np.linspace(2.7, 7.0, 44)


@pytest.fixture(scope="session")
def edges():
    return EDGES


@pytest.fixture(scope="session")
def falling():
    """Return a function (events, parameters) -> expected events of each bin."""

    def expected(events, exponents=(10.0, 5.0, 0.3)):
        node, weight = np.polynomial.legendre.leggauss(8)
        masses = (EDGES[1:] + EDGES[:-1])[:, None] / 2 + np.diff(EDGES)[:, None] / 2 * node
        mu = (dijet(masses.ravel(), [1.0, *exponents]).reshape(masses.shape) * weight).sum(axis=1)
        return mu * events / mu.sum()

    return expected
