"""A reference that was generated: its events may be many, but it knows no more than the events it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.functions import Floats, KernelConfig, Kernels
from hepml_nb.anomaly.nuisances import Shape
from hepml_nb.core import InputError, derive_seed, rng
from hepml_nb.stats.checks import table

__all__ = ["Density", "Generated", "generated", "shape_modes"]

SHAPE = KernelConfig(centres=100, penalty=1e-2, loss="likelihood")


class Density(Protocol):
    """A generative model whose density is known: a flow, a mixture."""

    def log_prob(self, x: Floats) -> Floats:
        """Return the log density of events (n, d), (n,)."""

    def sample(self, n: int, seed: int) -> Floats:
        """Return n generated events (n, d)."""


class Generated(NamedTuple):
    """events (n, d) of the central model; shapes: its uncertainty, largest first; shares (q,): of the variance."""

    events: Floats
    shapes: dict[str, Shape]
    shares: Floats


def generated(
    train: npt.ArrayLike,
    fit: Callable[[Floats, int], Density],
    n: int,
    *,
    ensemble: str = "bootstrap",
    members: int = 20,
    share: float = 0.95,
    seed: int = 0,
) -> Generated:
    """Return n events of a model trained with `train` (m, d), and nuisance parameters for what it does not know.

    fit(events, seed) trains a model. ensemble: its members are trained with "bootstrap" samples of the training
    events, so that they scatter as models of other training samples would; or with the same events from other seeds
    ("seeds"), which scatter by what the training leaves open and know nothing of statistics. The principal directions
    of their log densities, as many as hold `share` of the variance (`shape_modes`), are the nuisance parameters: their
    auxiliary measurement is the training sample, so it is 0. As in the talk of G. Badaracco et al. at EuCAIFCon
    2025, where NPLM judges generative models with a shape uncertainty; the models here are whatever `fit` gives.
    Raises InputError for fewer than three members, another ensemble, a share outside 0 to 1.
    """
    sample = table(train, "train")
    if ensemble not in ("bootstrap", "seeds"):
        raise InputError(f"ensemble={ensemble!r}; expected 'bootstrap' or 'seeds'.")
    if members < 3:
        raise InputError(f"members={members!r}; expected at least three models for a variance.")
    central = fit(sample, derive_seed(seed, "central"))
    events = central.sample(n, derive_seed(seed, "events"))
    at = central.log_prob(events)
    ratios = np.empty((members, n))
    for k in range(members):
        rows = rng(seed, "bootstrap", k).integers(len(sample), size=len(sample))
        member = fit(sample[rows] if ensemble == "bootstrap" else sample, derive_seed(seed, "member", k))
        ratios[k] = member.log_prob(events) - at
    return Generated(events, *shape_modes(ratios, events, share, seed=seed))


def shape_modes(
    ratios: npt.ArrayLike, events: npt.ArrayLike, share: float = 0.95, *, config: KernelConfig = SHAPE, seed: int = 0
) -> tuple[dict[str, Shape], Floats]:
    """Return the directions in which members' log ratios (k, n) at the events (n, d) scatter, and their shares.

    Each is a nuisance parameter with a standard deviation of one: log r = nu mode(x) - nu^2 variance / 2, which keeps
    the number of events to second order. The modes are regressed on a constant, a parabola in each feature and
    kernels, so that they are smooth functions of x. Raises InputError for a share outside 0 to 1.
    """
    values, x = table(ratios, "ratios"), table(events, "events")
    if not 0 < share <= 1:
        raise InputError(f"share={share!r}; expected a number above 0 and at most 1.")
    scatter = (values - values.mean(axis=0)) / np.sqrt(len(values) - 1)
    _, sizes, directions = np.linalg.svd(scatter, full_matrices=False)
    variances = sizes**2 / max(float((sizes**2).sum()), 1e-300)
    count = min(int(np.searchsorted(np.cumsum(variances), share)) + 1, len(values) - 1)
    functions = Kernels(x, config, seed, polynomial=True)
    basis = functions.prepare(x)
    square = basis.T @ basis + config.penalty * np.eye(functions.size)
    constant = np.zeros(functions.size)
    constant[-2 * x.shape[1] - 1] = 1.0
    shapes = {}
    for j in range(count):
        linear = np.linalg.solve(square, basis.T @ (sizes[j] * directions[j]))
        mode = basis @ linear
        shapes[f"mode {j + 1}"] = Shape(functions, linear - mode.mean() * constant, -mode.var() / 2 * constant)
    return shapes, np.asarray(variances[:count])
