"""The tasks of the benchmark of simulation-based inference (sbibm, arXiv:2101.04653): priors and simulators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from hepml_nb.core import InputError, NotFound, RunError, suggest

__all__ = ["TASKS", "Task", "glm_design", "posterior", "task"]

_Rng = np.random.Generator


@dataclass(frozen=True)
class Task:
    """A task: parameters (n, `parameters`) from `prior(n, rng)`, data (n, `data`) from `simulate(theta, rng)`.

    The forms and numbers are those of sbibm 1.1.0; random numbers are ours.
    """

    name: str
    parameters: int
    data: int
    prior: Callable[[int, _Rng], np.ndarray]
    simulate: Callable[[np.ndarray, _Rng], np.ndarray]


def task(name: str) -> Task:
    """Return the task called `name`; raise NotFound with the nearest one."""
    if name not in TASKS:
        raise NotFound(f"there is no task {name!r}{suggest(name, TASKS)}")
    return TASKS[name]


def _uniform(bound: float, size: int) -> Callable[[int, _Rng], np.ndarray]:
    return lambda n, rng: rng.uniform(-bound, bound, (n, size))


def _log_normal(median: tuple[float, ...], width: tuple[float, ...]) -> Callable[[int, _Rng], np.ndarray]:
    def draw(n: int, rng: _Rng) -> np.ndarray:
        return np.asarray(np.array(median) * np.exp(np.array(width) * rng.standard_normal((n, len(median)))))

    return draw


_GAUSSIAN = np.sqrt(0.1)
"""Width of prior and likelihood of the linear tasks: their covariances are 0.1."""


def _shifted(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    return np.asarray(theta + _GAUSSIAN * rng.standard_normal(theta.shape))


def _mixture(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    width = rng.choice([1.0, 0.1], size=(len(theta), 1))
    return np.asarray(theta + width * rng.standard_normal(theta.shape))


def _crescent(n: int, rng: _Rng) -> np.ndarray:
    angle = rng.uniform(-np.pi / 2, np.pi / 2, n)
    radius = 0.1 + 0.01 * rng.standard_normal(n)
    return np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1)


def _two_moons(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    along, across = (theta[:, 0] + theta[:, 1]) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.asarray(_crescent(len(theta), rng) + np.stack([-np.abs(along), across], axis=1))


def _slcp(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    """Return four points in the plane from a Gaussian whose mean, widths and correlation are the parameters."""
    first, second, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])
    a, c, b = first**2 + 1e-6, second**2 + 1e-6, rho * first * second
    low = b / np.sqrt(a)
    z = rng.standard_normal((len(theta), 4, 2))
    x = theta[:, None, 0] + np.sqrt(a)[:, None] * z[..., 0]
    y = theta[:, None, 1] + low[:, None] * z[..., 0] + np.sqrt(np.maximum(c - low**2, 0.0))[:, None] * z[..., 1]
    return np.stack([x, y], axis=-1).reshape(len(theta), 8)


@cache
def glm_design() -> np.ndarray:
    """Return the design matrix (100, 10) of the task bernoulli_glm: ones, then its white-noise stimulus, delayed 0-8.

    The stimulus is fixed, and is that of sbibm: 100 numbers of numpy's old generator with seed 42.
    """
    stimulus = np.random.RandomState(42).standard_normal(100).astype(np.float32).astype(np.float64)
    design = np.zeros((100, 10))
    design[:, 0] = 1
    for delay in range(9):
        design[delay:, delay + 1] = stimulus[: 100 - delay]
    return design


def _glm_prior(n: int, rng: _Rng) -> np.ndarray:
    """Draw offset and filter; the filter's prior precision penalises second differences."""
    step = np.eye(9) - np.eye(9, k=-1)
    root = step @ step + np.diag(np.sqrt(np.arange(9) / 9))
    offset = np.sqrt(2) * rng.standard_normal((n, 1))
    return np.hstack([offset, np.linalg.solve(root, rng.standard_normal((9, n))).T])


def _glm(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    """Return the number of spikes in 100 bins and their sums weighted by the delayed stimulus, which suffice."""
    chance = 1 / (1 + np.exp(-theta @ glm_design().T))
    return np.asarray((rng.random(chance.shape) < chance).astype(float) @ glm_design())


def _rk4(
    slope: Callable[[np.ndarray], np.ndarray], state: np.ndarray, step: float, every: int, saves: int
) -> np.ndarray:
    """Return the state (variables, n) at 0 and after every `every` steps of Runge and Kutta: (saves, variables, n)."""
    out = [state]
    for _ in range(saves - 1):
        for _ in range(every):
            k1 = slope(state)
            k2 = slope(state + step / 2 * k1)
            k3 = slope(state + step / 2 * k2)
            k4 = slope(state + step * k3)
            state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(state)
    return np.stack(out)


def _sir(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    """Return the infected of 1000 sampled people every 17 days, of a million of whom one is ill at first."""
    beta, gamma = theta.T

    def slope(u: np.ndarray) -> np.ndarray:
        ill = beta * u[0] * u[1]
        return np.stack([-ill, ill - gamma * u[1]])

    start = np.repeat([[1 - 1e-6], [1e-6]], len(theta), axis=1)
    infected = _rk4(slope, start, 0.1, 170, 10)[:, 1].T
    return np.asarray(rng.binomial(1000, np.clip(infected, 0.0, 1.0)), dtype=float)


def _lotka_volterra(theta: np.ndarray, rng: _Rng) -> np.ndarray:
    """Return ten readings of prey, then of predators, 2.1 days apart, each known to 10 %."""
    alpha, beta, gamma, delta = theta.T

    def slope(u: np.ndarray) -> np.ndarray:  # in logarithms, where both stay positive
        prey, predators = np.exp(np.minimum(u, 300.0))
        return np.stack([alpha - beta * predators, delta * prey - gamma])

    start = np.repeat(np.log([[30.0], [1.0]]), len(theta), axis=1)
    path = _rk4(slope, start, 0.0075, 280, 10)
    if not np.isfinite(path).all():
        raise RunError("the Lotka-Volterra equations were not solved; are the parameters far from the prior's range?")
    centre = np.clip(path.transpose(2, 1, 0).reshape(len(theta), 20), np.log(1e-10), np.log(1e4))
    return np.asarray(np.exp(centre + 0.1 * rng.standard_normal(centre.shape)))


TASKS: Mapping[str, Task] = {
    one.name: one
    for one in (
        Task("two_moons", 2, 2, _uniform(1.0, 2), _two_moons),
        Task("gaussian_linear", 10, 10, lambda n, rng: _shifted(np.zeros((n, 10)), rng), _shifted),
        Task("gaussian_linear_uniform", 10, 10, _uniform(1.0, 10), _shifted),
        Task("gaussian_mixture", 2, 2, _uniform(10.0, 2), _mixture),
        Task("slcp", 5, 8, _uniform(3.0, 5), _slcp),
        Task("bernoulli_glm", 10, 10, _glm_prior, _glm),
        Task("sir", 2, 10, _log_normal((0.4, 0.125), (0.5, 0.2)), _sir),
        Task(
            "lotka_volterra", 4, 20, _log_normal(tuple(np.exp([-0.125, -3, -0.125, -3])), (0.5,) * 4), _lotka_volterra
        ),
    )
}
"""The tasks by name."""


def posterior(name: str, x: np.ndarray, n: int, rng: _Rng) -> np.ndarray:
    """Draw `n` parameters from the exact posterior given data x (data,), where it has a closed form: (n, parameters).

    That is so for two_moons, gaussian_linear, gaussian_linear_uniform and gaussian_mixture. Raises InputError for
    another task or x of another shape, and RunError where nothing inside the prior could have made x.
    """
    about = task(name)
    if name not in _PROPOSALS:
        raise InputError(f"{name!r} has no posterior in closed form; expected one of {', '.join(_PROPOSALS)}.")
    x = np.asarray(x, dtype=float)
    if x.shape != (about.data,):
        raise InputError(f"x has shape {x.shape}; expected ({about.data},), one observation.")
    propose, bound = _PROPOSALS[name]
    kept, count = [np.zeros((0, about.parameters))], 0
    for _ in range(300):
        if count >= n:
            return np.concatenate(kept)[:n]
        theta = propose(x, max(n, 1000), rng)
        kept.append(theta[np.all(np.abs(theta) <= bound, axis=1)])
        count += len(kept[-1])
    raise RunError(f"{name}: no parameters within the prior make x = {x.tolist()}.")


def _moon_parameters(x: np.ndarray, n: int, rng: _Rng) -> np.ndarray:
    """Undo the simulator for random crescents: |along| and across are known then, and the sign of along is free."""
    gap = _crescent(n, rng) - x
    along, across = gap[:, 0] * rng.choice([-1.0, 1.0], n), -gap[:, 1]
    theta = np.stack([along - across, along + across], axis=1) / np.sqrt(2)
    return np.asarray(theta[gap[:, 0] >= 0])


def _half_way(x: np.ndarray, n: int, rng: _Rng) -> np.ndarray:
    """Draw from the product of two Gaussians of one width, about 0 and about x."""
    return np.asarray(x / 2 + _GAUSSIAN / np.sqrt(2) * rng.standard_normal((n, 10)))


def _cut_gaussian(x: np.ndarray, n: int, rng: _Rng) -> np.ndarray:
    """Draw Gaussians about x that end at the edges of the prior."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr((-1 - x) / _GAUSSIAN), ndtr((1 - x) / _GAUSSIAN)
    return np.asarray(x + _GAUSSIAN * ndtri(rng.uniform(low, high, (n, 10))))


_PROPOSALS: Mapping[str, tuple[Callable[[np.ndarray, int, _Rng], np.ndarray], float]] = {
    "two_moons": (_moon_parameters, 1.0),
    "gaussian_linear": (_half_way, np.inf),
    "gaussian_linear_uniform": (_cut_gaussian, 1.0),
    "gaussian_mixture": (lambda x, n, rng: _mixture(np.tile(x, (n, 1)), rng), 10.0),
}
"""Draws from the posterior, where need be with a prior that has no edges, and where the edges lie."""
