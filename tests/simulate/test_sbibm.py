"""The benchmark's tasks have the moments, supports and posteriors that their definitions imply."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from scipy import stats

from hepml_nb.core import InputError, NotFound, RunError, rng
from hepml_nb.simulate import recipe
from hepml_nb.simulate.toys import TASKS, Task, glm_design, posterior, task

N = 20_000
RARE = 1e-4  # seeds are fixed: a p-value below this means a wrong distribution, not bad luck


def pairs(name: str, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    made, _ = recipe("sbibm")(n, seed=1, task_name=name)
    return ak.to_numpy(made.theta).astype(float), ak.to_numpy(made.x).astype(float)


@pytest.mark.parametrize("name", TASKS)
def test_shapes_finiteness_and_seeds(name: str) -> None:
    about = task(name)
    theta, x = pairs(name, 200)
    assert theta.shape == (200, about.parameters)
    assert x.shape == (200, about.data)
    assert np.isfinite(theta).all()
    assert np.isfinite(x).all()
    assert np.array_equal(pairs(name, 200)[1], x)
    assert len(recipe("sbibm")(0, task_name=name)[0]) == 0


@pytest.mark.parametrize(
    ("name", "bound"), [("two_moons", 1), ("gaussian_linear_uniform", 1), ("gaussian_mixture", 10), ("slcp", 3)]
)
def test_even_priors_are_even(name: str, bound: float) -> None:
    theta, _ = pairs(name)
    for column in theta.T:
        assert stats.kstest(column, stats.uniform(-bound, 2 * bound).cdf).pvalue > RARE


def test_gaussian_tasks_have_variance_a_tenth() -> None:
    theta, x = pairs("gaussian_linear")
    assert stats.kstest(theta.ravel(), stats.norm(0, np.sqrt(0.1)).cdf).pvalue > RARE
    for name in ("gaussian_linear", "gaussian_linear_uniform"):
        theta, x = pairs(name)
        assert stats.kstest((x - theta).ravel(), stats.norm(0, np.sqrt(0.1)).cdf).pvalue > RARE


def test_mixture_is_half_wide_and_half_narrow() -> None:
    theta, x = pairs("gaussian_mixture")
    away = x - theta

    def cdf(v: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * stats.norm.cdf(v) + 0.5 * stats.norm.cdf(v / 0.1))

    assert stats.kstest(away[:, 0], cdf).pvalue > RARE
    # both coordinates are of the same component, so their sizes go together
    assert stats.spearmanr(np.abs(away[:, 0]), np.abs(away[:, 1])).statistic > 0.3


def test_two_moons_are_crescents_of_radius_a_tenth() -> None:
    theta, x = pairs("two_moons")
    along, across = (theta[:, 0] + theta[:, 1]) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    p = x - np.stack([0.25 - np.abs(along), across], axis=1)
    assert stats.kstest(np.hypot(*p.T), stats.norm(0.1, 0.01).cdf).pvalue > RARE
    angle = np.arctan2(p[:, 1], p[:, 0])
    assert stats.kstest(angle, stats.uniform(-np.pi / 2, np.pi).cdf).pvalue > RARE


def test_slcp_points_have_the_covariance_of_the_parameters() -> None:
    theta = np.tile([[0.7, -1.2, 1.5, -1.1, 0.6]], (N, 1))
    x = TASKS["slcp"].simulate(theta, rng(1, "slcp")).reshape(-1, 2)
    first, second = 1.5**2, 1.1**2
    cov = first * second * np.tanh(0.6)
    assert x.mean(axis=0) == pytest.approx([0.7, -1.2], abs=4 * first / np.sqrt(len(x)))
    assert np.cov(x.T) == pytest.approx(np.array([[first**2, cov], [cov, second**2]]), rel=0.03)


def test_glm_fires_by_chance_and_its_statistics_suffice() -> None:
    design = glm_design()
    assert design.shape == (100, 10)
    assert design[0, 1] == pytest.approx(0.49671414)  # the first normal number of the old generator's seed 42
    assert np.array_equal(design[3:, 4], design[:-3, 1])
    theta, x = pairs("bernoulli_glm")
    assert np.std(theta[:, 0]) == pytest.approx(np.sqrt(2), rel=0.03)
    some = np.tile(theta[:1], (N, 1))
    mean = (1 / (1 + np.exp(-some[:1] @ design.T))) @ design
    x = TASKS["bernoulli_glm"].simulate(some, rng(2, "glm"))
    assert np.all(np.abs(x.mean(axis=0) - mean[0]) < 5 * x.std(axis=0) / np.sqrt(N))


class Silent:
    """A generator without noise."""

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)

    def binomial(self, n: int, p: np.ndarray) -> np.ndarray:
        return n * p


def quiet(about: Task, theta: list[float]) -> np.ndarray:
    return about.simulate(np.array([theta]), Silent())[0]  # type: ignore[arg-type]


def test_epidemic_and_predators_solve_their_equations() -> None:
    from scipy.integrate import solve_ivp

    b, g = 0.6, 0.15
    path = solve_ivp(lambda _, u: [-b * u[0] * u[1], b * u[0] * u[1] - g * u[1]], (0, 160), [1 - 1e-6, 1e-6],
                     t_eval=17.0 * np.arange(10), rtol=1e-9, atol=1e-13)  # fmt: skip
    assert quiet(TASKS["sir"], [b, g]) == pytest.approx(1000 * path.y[1], abs=0.01)
    p = [0.8, 0.05, 0.9, 0.06]
    path = solve_ivp(lambda _, u: [p[0] * u[0] - p[1] * u[0] * u[1], p[3] * u[0] * u[1] - p[2] * u[1]], (0, 20),
                     [30, 1], t_eval=2.1 * np.arange(10), rtol=1e-9, atol=1e-12)  # fmt: skip
    assert quiet(TASKS["lotka_volterra"], p) == pytest.approx(path.y.ravel(), rel=1e-4)
    with pytest.raises(RunError, match="not solved"):
        quiet(TASKS["lotka_volterra"], [np.inf, 1, 1, 1])


@pytest.mark.parametrize("name", ["two_moons", "gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture"])
def test_posteriors_are_calibrated(name: str) -> None:
    """The rank of the true parameter among posterior draws is even (arXiv:1804.06788)."""
    theta, x = pairs(name, 300)
    generator = rng(3, name)
    ranks = np.array([(posterior(name, x[i], 199, generator) < theta[i]).mean(axis=0) for i in range(300)])
    for column in ranks.T:
        assert stats.kstest(column, "uniform").pvalue > RARE


def test_posterior_of_two_moons_has_two_crescents() -> None:
    theta = posterior("two_moons", np.zeros(2), 4000, rng(4, "moons"))
    along = theta.sum(axis=1) / np.sqrt(2)
    assert np.abs(along).min() > 0.2
    assert np.mean(along > 0) == pytest.approx(0.5, abs=0.04)


def test_what_has_no_posterior_is_told() -> None:
    with pytest.raises(InputError, match="no posterior in closed form"):
        posterior("slcp", np.zeros(8), 1, rng(0))
    with pytest.raises(InputError, match=r"expected \(2,\)"):
        posterior("two_moons", np.zeros(3), 1, rng(0))
    with pytest.raises(RunError, match="no parameters within the prior"):
        posterior("gaussian_linear_uniform", np.full(10, 50.0), 1, rng(0))
    with pytest.raises(NotFound, match="did you mean 'two_moons'"):
        task("two_moon")
