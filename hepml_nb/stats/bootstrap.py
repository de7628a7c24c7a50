"""The paired bootstrap: all methods are scored on the same redrawn test events, so differences keep little noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import Better, InputError, Result, rng, suggest

from .checks import Floats
from .intervals import upper_limit
from .resample import Ordered, TestSample

__all__ = ["FEW", "Metric", "paired", "paired_summary"]

Metric = Callable[[Floats, Floats], float]

FEW = 10  # background events; with fewer that pass, replicas made of them scatter too little


def paired(
    metric: str | Metric,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    eff: float = 0.5,
    n_boot: int = 200,
    seed: int = 0,
    weights: npt.ArrayLike | None = None,
    deterministic: bool = False,
    events: npt.ArrayLike | None = None,
    name: str | None = None,
    better: Better = "higher",
    floor: float | None = None,
    baseline: float | None = None,
) -> Result:
    """Return the mean of `metric` over trainings, with replicas that pair it with others on the same test events.

    metric: "auc", "rejection" (at signal efficiency `eff`), "accuracy" (of probabilities cut at 0.5), or a function
    (labels, scores) -> float, then known by `name` and judged by `better`.
    labels: (n,) of 0 and 1; scores: (n,) of one training, or (T, n) of T trainings; weights: (n,) >= 0.
    deterministic: the method has no randomness of its own (a cut): `seeds` becomes 0. events: identifiers (n,) of the
    test events, where equal labels alone could belong to other events.

    error = sqrt(bootstrap variance of the mean + variance between trainings / T): test sample and training seed. Test
    events are drawn with replacement within each class, the same ones for equal labels, seed and n_boot. The luck
    of a single training with the test sample is in both terms, so the error is a little large. A rejection
    without any passing background is its 68 % lower limit with an error of its own size; below ten passing events
    the binomial error is taken where it is larger. replicas: (T, n_boot). low, high: 68 % of the replicas, for T = 1.
    Raises InputError for nan, one class, wrong lengths, an unknown metric, weights with a function.
    """
    function = None if isinstance(metric, str) else metric
    if isinstance(metric, str):
        if metric not in _DEFINITIONS:
            raise InputError(f"metric={metric!r} is unknown" + suggest(metric, _DEFINITIONS))
    elif weights is not None:
        raise InputError("weights with a metric of your own: it gets (labels, scores) of drawn events and sees none.")
    known = (
        metric if isinstance(metric, str) else f"own {name or getattr(metric, '__qualname__', type(metric).__name__)}"
    )
    test = TestSample.read(
        labels, scores, weights=weights, events=events, n_boot=n_boot, seed=seed, deterministic=deterministic
    )
    return _evaluate(test, [_Figure(known, eff, function, better, floor, baseline)])[0]


def paired_summary(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    effs: Sequence[float] = (0.5, 0.3),
    n_boot: int = 200,
    seed: int = 0,
    weights: npt.ArrayLike | None = None,
    deterministic: bool = False,
    events: npt.ArrayLike | None = None,
) -> dict[str, Result]:
    """Return {"auc": ..., "rejection.eff50": ...} from one pass over the draws; each equals `paired` of that metric."""
    figures = {"auc": _Figure("auc")} | {f"rejection.eff{100 * eff:g}": _Figure("rejection", eff) for eff in effs}
    test = TestSample.read(
        labels, scores, weights=weights, events=events, n_boot=n_boot, seed=seed, deterministic=deterministic
    )
    return dict(zip(figures, _evaluate(test, list(figures.values())), strict=True))


_DEFINITIONS = {
    "auc": "area under the ROC curve, ties half",
    "rejection": "1/eB at eS = {eff:g}, linear ROC",
    "accuracy": "fraction right at probability > 0.5",
}


@dataclass(frozen=True)
class _Figure:
    metric: str
    eff: float = 0.5
    function: Metric | None = None
    better: Better = "higher"
    floor: float | None = None
    baseline: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.eff < 1:
            raise InputError(
                f"eff={self.eff!r} is no working point; expected a signal efficiency between 0 and 1, such as 0.5."
            )

    @property
    def label(self) -> str:
        return f"rejection@{self.eff:g}" if self.metric == "rejection" else self.metric

    def result(self, test: TestSample, values: Floats, replicas: Floats) -> Result:
        """Turn the trainings' values (T,) and replicas (T, n_boot) into a result."""
        definition = _DEFINITIONS.get(self.metric, self.metric).format(eff=self.eff)
        least = 0.0
        if self.metric == "rejection":
            values, replicas, passing = _rejections(test, values, replicas)
            if passing < FEW:
                least = float(values.mean()) / np.sqrt(max(passing, 1.0))
                few = (
                    f"only {passing:.2g} background events pass"
                    if passing
                    else "68 % lower limit: no background passes"
                )
                definition += f"; {few}"
        variance = float(replicas.mean(axis=0).var(ddof=1))
        low: float | None = None
        high: float | None = None
        if len(values) > 1:
            definition += f"; mean of {len(values)} trainings"
            variance += float(values.var(ddof=1)) / len(values)
        else:
            low, high = (float(edge) for edge in np.quantile(replicas[0], [0.15865, 0.84135]))
        return Result(
            value=float(values.mean()),
            error=max(float(np.sqrt(variance)), least),
            n=test.n,
            floor=self.floor,
            baseline=self.baseline,
            better=self.better,
            definition=definition,
            low=low,
            high=high,
            seeds=test.seeds,
            replicas=replicas,
            pairing=f"{self.label}|{test.fingerprint}",
        )


def _rejections(test: TestSample, values: Floats, replicas: Floats) -> tuple[Floats, Floats, float]:
    """Turn background efficiencies into rejections; also return the mean number of background events that pass.

    Where none passes, redrawing cannot show how many might have: the replicas then follow the posterior of the
    efficiency, an exponential of mean 1/n. None falls below half an event, so that every rejection is finite.
    """
    n = test.n_background
    passing = float(values.mean()) * n
    replicas = replicas.copy()
    for t in np.flatnonzero(values == 0):
        replicas[t] = rng(test.seed, "no background", t).exponential(1 / n, replicas.shape[1])
    values = np.where(values > 0, values, upper_limit(n))
    return 1 / values, 1 / np.maximum(replicas, 0.5 / n), passing


def _evaluate(test: TestSample, figures: list[_Figure]) -> list[Result]:
    replicas = np.empty((len(figures), len(test.scores), test.n_boot))
    values = np.empty((len(figures), len(test.scores)))
    function = figures[0].function
    if function is not None:
        labels = test.signal.astype(np.float64)
        values[0] = [function(labels, scores) for scores in test.scores]
        for rows, signal, background in test.draws():
            for t, scores in enumerate(test.scores):
                replicas[0, t, rows] = _own(function, test, scores, signal, background)
        return [figures[0].result(test, values[0], replicas[0])]
    wanted = [("background" if f.metric == "rejection" else f.metric, f.eff) for f in figures]
    trainings = [Ordered(test, scores) for scores in test.scores]
    once = np.ones((1, int(test.signal.sum()))), np.ones((1, int((~test.signal).sum())))
    for t, ordered in enumerate(trainings):
        values[:, t] = [float(got[0]) for got in ordered.figures(wanted, *once)]
    for rows, signal, background in test.draws():
        for t, ordered in enumerate(trainings):
            replicas[:, t, rows] = ordered.figures(wanted, signal, background)
    return [figure.result(test, v, r) for figure, v, r in zip(figures, values, replicas, strict=True)]


def _own(function: Metric, test: TestSample, scores: Floats, signal: Floats, background: Floats) -> Floats:
    """Return the user's metric on every draw, as (replicas,)."""
    where = np.concatenate([np.flatnonzero(test.signal), np.flatnonzero(~test.signal)])
    labels = test.signal.astype(np.float64)
    made = np.empty(len(signal))
    for row, counts in enumerate(np.concatenate([signal, background], axis=1).astype(np.intp)):
        drawn = np.repeat(where, counts)
        made[row] = function(labels[drawn], scores[drawn])
    if not np.isfinite(made).all():
        raise InputError(
            f"the metric is not finite on {int((~np.isfinite(made)).sum())} of {len(made)} resampled sets."
        )
    return made
