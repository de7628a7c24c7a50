import numpy as np
import pytest
from scipy.stats import norm

from hepml_nb.anomaly.background import fit_background
from hepml_nb.anomaly.bumps import scan_toys
from hepml_nb.anomaly.spectrum import MassSpectrum
from hepml_nb.anomaly.trials import gross_vitells, toy_p, upcrossings
from hepml_nb.core import InputError


def test_upcrossings_are_counted_from_below():
    assert upcrossings([[0, 2, 0, 2, 3], [2, 0, 0, 0, 0], [0, 0, 0, 0, 2]], 1.0).tolist() == [2, 0, 1]


def test_few_toys_with_upcrossings_predict_what_many_toys_find(falling, edges):
    fit = fit_background(MassSpectrum(falling(1e5), edges), 3)
    masses = np.arange(3.0, 6.01, 0.06)
    few = gross_vitells(scan_toys(fit, masses, 0.03, 60, seed=1))
    largest = scan_toys(fit, masses, 0.03, 1500, seed=2).max(axis=1)
    for z in (2.5, 3.0):
        p, error = (one[0] for one in toy_p(largest, z**2))
        predicted = float(few.global_p(z**2))
        wanted = predicted * few.error / few.crossings
        assert abs(predicted - p) < 3 * np.hypot(error, wanted) + 0.1 * p  # the grid's spacing loses a few crossings
    assert few.factor(16.0) > few.factor(9.0) > 5


def test_up_to_three_sigma_of_the_global_p_value():
    """A Gaussian process with known mean upcrossings (Rice): many scans at no cost reach three sigma global."""
    n, length, generator = 60_000, 0.15, np.random.default_rng(5)
    x = np.linspace(0, 2, 81)
    covariance = np.exp(-0.5 * ((x[:, None] - x) / length) ** 2)
    root = np.linalg.cholesky(covariance + 1e-10 * np.eye(len(x)))
    q0 = np.maximum(generator.normal(size=(n, len(x))) @ root.T, 0) ** 2
    trials = gross_vitells(q0[:100], 0.5)
    rice = 2 / (2 * np.pi * length) * np.exp(-0.25)
    assert abs(trials.crossings - rice) < 4 * trials.error
    exact = gross_vitells(q0, 0.5)
    reached = np.quantile(q0.max(axis=1), 1 - norm.sf(3.0))
    assert abs(float(exact.global_z(np.sqrt(reached))) - 3.0) < 0.1


def test_toys_never_give_a_p_value_of_zero():
    p, error = toy_p([1.0, 2.0, 3.0], [0.0, 2.0, 9.0])
    assert p.tolist() == [1.0, 0.75, 0.25]
    assert error[0] == 0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at least two of each"):
        gross_vitells(np.ones((1, 5)))
    with pytest.raises(InputError, match="no toy crosses level=50"):
        gross_vitells(np.random.default_rng(0).random((5, 5)), 50)
