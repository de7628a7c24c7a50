"""What tests share: a falling mass spectrum whose expectation is known, and a small search with a planted signal."""

import numpy as np
import pytest

from hepml_nb.anomaly import problems
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


@pytest.fixture(scope="session")
def planted():
    """Return a search on the toy with enough signal for a density that is trained for seconds."""
    return problems.toy(20_000, 600, 1, test_background=3000, test_signal=1000)
