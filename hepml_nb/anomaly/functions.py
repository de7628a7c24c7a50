"""The families of functions that NPLM maximises over: a small network with clipped weights, and a sum of kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist
from scipy.special import expit

from hepml_nb.core import InputError, rng

__all__ = ["Family", "Floats", "KernelConfig", "Kernels", "Network", "NetworkConfig", "lowest"]

Floats = npt.NDArray[np.float64]
Backward = Callable[[Floats], Floats]
_SINGULAR = 1e-10


@dataclass(frozen=True)
class NetworkConfig:
    """A network of sigmoids. hidden: units of each layer; clip: largest weight; steps: of the minimiser; starts: tries.

    The defaults are those for one dimension in arXiv:2111.13633: four units, weights up to 9. With them the statistic
    follows a chi2 with as many degrees of freedom as there are parameters (13).
    """

    hidden: tuple[int, ...] = (4,)
    clip: float = 9.0
    steps: int = 1000
    starts: int = 1

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1 or not self.clip > 0 or min(self.steps, self.starts - 1) < 0:
            raise InputError(f"{self} is no network; expected layers of units, clip > 0, steps >= 0, starts >= 1.")


@dataclass(frozen=True)
class KernelConfig:
    """A sum of Gaussian kernels. centres: how many; width: of a Gaussian in standard deviations of the features.

    width None: the 90 % quantile of the distances between reference events, and penalty: the weight of the squared
    norm, per event, are the rules of arXiv:2204.02317. loss: "cross-entropy", weighted, which is that paper's, or
    "likelihood", which is that of the network and the only one that knows nuisance parameters.
    """

    centres: int = 3000
    width: float | None = None
    penalty: float = 1e-10
    loss: str = "cross-entropy"
    steps: int = 200

    def __post_init__(self) -> None:
        if self.loss not in ("cross-entropy", "likelihood"):
            raise InputError(f"loss={self.loss!r}; expected 'cross-entropy' or 'likelihood'.")
        width = 1.0 if self.width is None else self.width
        if min(self.centres - 1, self.steps) < 0 or not min(self.penalty, width) > 0:
            raise InputError(f"{self} is no kernel method; expected centres >= 1, steps >= 0, penalty and width > 0.")


class Family(ABC):
    """Functions f(x) with parameters (p,); events are prepared once, as the reference serves all tests."""

    size: int
    bounds: list[tuple[float | None, float | None]] | None = None

    def __init__(self, reference: Floats) -> None:
        self._mean, self._spread = reference.mean(axis=0), reference.std(axis=0)

    def scaled(self, x: Floats) -> Floats:
        """Return events (n, d) in standard deviations of the reference."""
        return np.asarray((x - self._mean) / self._spread)

    @abstractmethod
    def prepare(self, x: Floats) -> Floats:
        """Return what `evaluate` needs of events (n, d)."""

    @abstractmethod
    def evaluate(self, parameters: Floats, prepared: Floats) -> tuple[Floats, Backward]:
        """Return f of the events (n,), and the function that turns d loss / d f (n,) into d loss / d parameters."""

    @abstractmethod
    def start(self, attempt: int) -> Floats:
        """Return parameters to start from, with f = 0."""


class Network(Family):
    """A fully connected network of sigmoids with a linear output; |weights| at most `clip`, biases free."""

    def __init__(self, reference: Floats, config: NetworkConfig, seed: int = 0) -> None:
        super().__init__(reference)
        self.config, self._seed = config, seed
        widths = (reference.shape[1], *config.hidden, 1)
        self._shapes = list(pairwise(widths))
        self.size = sum((i + 1) * o for i, o in self._shapes)
        self.bounds = []
        for i, o in self._shapes:
            self.bounds += [(-config.clip, config.clip)] * (i * o) + [(None, None)] * o

    def prepare(self, x: Floats) -> Floats:
        """Return the scaled events."""
        return self.scaled(x)

    def evaluate(self, parameters: Floats, prepared: Floats) -> tuple[Floats, Backward]:
        """Return f (n,) and its backward pass."""
        layers, place = [], 0
        for i, o in self._shapes:
            layers.append((parameters[place : place + i * o].reshape(i, o), parameters[place + i * o :][:o]))
            place += (i + 1) * o
        inputs = [prepared]
        for weights, biases in layers[:-1]:
            inputs.append(expit(inputs[-1] @ weights + biases))
        output = inputs[-1] @ layers[-1][0] + layers[-1][1]

        def backward(slopes: Floats) -> Floats:
            gradients, slope = [], slopes[:, None]
            for depth in range(len(layers) - 1, -1, -1):
                gradients += [slope.sum(axis=0), (inputs[depth].T @ slope).ravel()]
                if depth:
                    slope = (slope @ layers[depth][0].T) * inputs[depth] * (1 - inputs[depth])
            return np.concatenate(gradients[::-1])

        return output[:, 0], backward

    def start(self, attempt: int) -> Floats:
        """Return random hidden layers (steps spread over the events) and an output of 0."""
        generator = rng(self._seed, "network", attempt)
        parts: list[Floats] = []
        for i, o in self._shapes[:-1]:
            weights = generator.uniform(-2, 2, (i, o)) / np.sqrt(i)
            middle = generator.uniform(-1, 1.5, (i, o)) if not parts else generator.uniform(0, 1, (i, o))
            parts += [np.clip(weights, -self.config.clip, self.config.clip).ravel(), -(weights * middle).sum(axis=0)]
        return np.concatenate([*parts, np.zeros(self._shapes[-1][0] + 1)])


class Kernels(Family):
    """f(x) = sum_m a_m exp(-|x - c_m|^2 / 2 width^2) with centres c_m drawn from the reference (Nystroem).

    The parameters are those of the orthonormal functions that the kernels span, so that the squared norm of f is the
    sum of their squares; directions that rounding cannot tell from nothing are left out.
    """

    def __init__(self, reference: Floats, config: KernelConfig, seed: int = 0, *, polynomial: bool = False) -> None:
        super().__init__(reference)
        self.config, self._polynomial = config, polynomial
        generator, scaled = rng(seed, "kernels"), self.scaled(reference)
        some = scaled[generator.permutation(len(scaled))[:1000]]
        self.width = config.width or float(np.quantile(pdist(some), 0.9))
        self._centres = scaled[generator.permutation(len(scaled))[: config.centres]]
        values, vectors = np.linalg.eigh(self._gauss(self._centres))
        kept = values > _SINGULAR * values[-1]
        self._basis = vectors[:, kept] / np.sqrt(values[kept])
        self.size = int(kept.sum()) + (2 * reference.shape[1] + 1 if polynomial else 0)

    def prepare(self, x: Floats) -> Floats:
        """Return the orthonormal functions at the events, (n, p)."""
        scaled = self.scaled(x)
        parts = [self._gauss(scaled[i : i + 20_000]) @ self._basis for i in range(0, len(scaled), 20_000)]
        spanned = np.concatenate(parts) if parts else np.zeros((0, self._basis.shape[1]))
        if not self._polynomial:
            return spanned
        return np.column_stack([spanned, np.ones(len(scaled)), scaled, scaled**2])

    def evaluate(self, parameters: Floats, prepared: Floats) -> tuple[Floats, Backward]:
        """Return f (n,) and its backward pass."""
        return prepared @ parameters, lambda slopes: np.asarray(prepared.T @ slopes)

    def start(self, attempt: int) -> Floats:
        """Return zeros: the problem is convex."""
        return np.zeros(self.size)

    def _gauss(self, scaled: Floats) -> Floats:
        return np.asarray(np.exp(cdist(scaled, self._centres, "sqeuclidean") / (-2 * self.width**2)))


def lowest(
    loss: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    steps: int,
    *,
    bounds: list[tuple[float | None, float | None]] | None = None,
    hessian: Floats | None = None,
) -> tuple[Floats, float]:
    """Return the parameters (p,) of the lowest loss and the loss, by L-BFGS from `start`; without steps, those there.

    loss(parameters) -> value, gradient. hessian: (p, p), about that of the loss; its Cholesky factor makes the valley
    round. bounds cannot go with it.
    """
    if not steps:
        return start, loss(start)[0]
    if hessian is None:
        options = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-4}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(found.x), float(found.fun)
    inverse = np.linalg.inv(np.linalg.cholesky(hessian)).T

    def rounded(u: Floats) -> tuple[float, Floats]:
        value, gradient = loss(start + inverse @ u)
        return value, inverse.T @ gradient

    found = minimize(rounded, np.zeros(len(start)), jac=True, method="L-BFGS-B",
                     options={"maxiter": steps, "maxcor": 30, "ftol": 1e-10, "gtol": 1e-3})  # fmt: skip
    return np.asarray(start + inverse @ found.x), float(found.fun)
