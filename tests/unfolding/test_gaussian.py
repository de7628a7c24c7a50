"""The Gaussian problem's closed forms against integrals on a fine grid and drawn events."""

import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.simulate.gaussian import Gaussian, GaussianProblem, gaussian_problem


def _grid(dimensions, half=6.5, n=None):
    n = n or (1201 if dimensions == 1 else 45)
    axis = np.linspace(-half, half, n)
    points = np.stack(np.meshgrid(*[axis] * dimensions, indexing="ij"), -1).reshape(-1, dimensions)
    return points, (axis[1] - axis[0]) ** dimensions


@pytest.mark.parametrize("dimensions", [1, 2])
def test_iterations_are_those_of_bayes_theorem_on_a_grid(dimensions):
    problem = gaussian_problem(dimensions)
    x, dx = _grid(dimensions)
    y, dy = _grid(dimensions)
    kernel = Gaussian(np.zeros(dimensions), problem.smearing)
    fold = np.stack([kernel.density(y - problem.matrix @ one - problem.offset) for one in x], axis=1) * dx  # (y, x)
    data = problem.measured(problem.nature).density(y)
    prior = problem.simulation.density(x)
    for iteration in range(1, 4):
        prior = prior * (fold.T @ (data / np.maximum(fold @ prior, 1e-300))) * dy / dx
        exact = problem.iterated(iteration)
        mean = x.T @ prior * dx
        spread = (x - mean).T @ ((x - mean) * prior[:, None]) * dx
        assert np.allclose(mean, exact.mean, atol=2e-4)
        assert np.allclose(spread, exact.covariance, atol=2e-4)
        assert np.allclose(prior, exact.density(x), atol=5e-4)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_posterior_is_prior_times_likelihood(dimensions):
    problem = gaussian_problem(dimensions)
    x, dx = _grid(dimensions)
    seen = np.array([0.7, -0.4])[:dimensions]
    kernel = Gaussian(np.zeros(dimensions), problem.smearing)
    by_hand = problem.simulation.density(x) * kernel.density(seen - x @ problem.matrix.T - problem.offset)
    by_hand /= by_hand.sum() * dx
    means, covariance = problem.posterior(problem.simulation, seen)
    assert np.allclose(by_hand, Gaussian(means[0], covariance).density(x), atol=1e-4)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_iterations_go_to_nature(dimensions):
    problem = gaussian_problem(dimensions)
    gaps = [np.abs(problem.iterated(k).covariance - problem.nature.covariance).max() for k in (1, 4, 10, 60)]
    assert gaps[0] > 0.02
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 1e-6
    limit = problem.limit()
    assert np.allclose(limit.mean, problem.nature.mean)
    assert np.allclose(limit.covariance, problem.nature.covariance)
    assert np.allclose(problem.iterated(0).mean, problem.simulation.mean)


def test_drawn_events_have_these_moments_and_repeat():
    problem = gaussian_problem(2)
    gen, sim = problem.simulate(100_000, seed=1)
    after = problem.measured(problem.simulation)
    for drawn, density in ((gen, problem.simulation), (sim, after)):
        assert np.allclose(drawn.mean(0), density.mean, atol=5 * np.sqrt(1 / 100_000))
        assert np.allclose(np.cov(drawn.T), density.covariance, atol=5 * np.sqrt(2 / 100_000))
    assert np.array_equal(sim, problem.simulate(100_000, seed=1)[1])
    measured, truth = problem.measure(100_000, seed=1)
    assert abs((measured - truth @ problem.matrix.T - problem.offset).mean()) < 0.01
    edges = [-np.inf, -1, 0, 1, np.inf]
    shares = np.histogram(truth[:, 1], edges)[0] / 100_000
    assert np.allclose(shares, problem.nature.shares(edges, 1), atol=0.01)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="positive definite"):
        Gaussian([0, 0], [[1, 2], [2, 1]])
    with pytest.raises(InputError, match="does not fit"):
        GaussianProblem(Gaussian(0, 1), Gaussian(0, 1), [[1, 0]], 0, 1)
    with pytest.raises(InputError, match="0 \\(the prior\\)"):
        gaussian_problem().iterated(-1)
    with pytest.raises(InputError, match="1 or 2"):
        gaussian_problem(3)
    hidden = GaussianProblem(Gaussian([0, 0], np.eye(2)), Gaussian([1, 0], np.eye(2)), [[1, 0]], 0, 1)
    with pytest.raises(InputError, match="rank 1"):
        hidden.limit()
    assert hidden.iterated(300).mean == pytest.approx([1, 0], abs=0.01)  # what is not seen stays as the prior had it
