"""Two samples of events told apart, by boosted trees or a network: the ratio of their densities at any event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from hepml_nb.core import InputError, RunError, derive_seed, rng, suggest, threads
from hepml_nb.learn import FitConfig

__all__ = [
    "CONFIGS",
    "NETWORK",
    "SMALL_NETWORK",
    "SMALL_TREES",
    "TREES",
    "ClassifierConfig",
    "Kind",
    "RatioClassifier",
    "balanced_weights",
    "weighted_cross_entropy",
]

Floats = npt.NDArray[np.float64]
Kind = Literal["trees", "network"]

_BINS = 255
_ROWS = 8192


@dataclass(frozen=True)
class ClassifierConfig:
    """How two samples are told apart.

    kind: "trees" (histogram gradient boosting, arXiv:2309.13111) or "network" (dense, as in arXiv:2109.00546).
    members: classifiers of an ensemble, each with its own split into training and validation; their mean counts.
    validation: share of the events on which a member is stopped. trees, learning_rate, leaves, min_leaf, patience: of
    each member's boosting, as scikit-learn's max_iter, learning_rate, max_leaf_nodes, min_samples_leaf,
    n_iter_no_change; the trees up to the best validation loss are kept.
    hidden: widths of the network's layers. fit: its training. best: epochs of lowest validation loss whose outputs
    are averaged.
    """

    kind: Kind = "trees"
    members: int = 50
    validation: float = 0.5
    trees: int = 100
    learning_rate: float = 0.1
    leaves: int = 31
    min_leaf: int = 20
    patience: int = 10
    hidden: tuple[int, ...] = (64, 64, 64)
    best: int = 10
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=128, schedule="constant", patience=None)
    )

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"kind={self.kind!r} is unknown{suggest(str(self.kind), get_args(Kind))}")
        limits = {"members": 1, "trees": 1, "leaves": 2, "min_leaf": 1, "patience": 1, "best": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)!r}; expected at least {least}.")
        if not 0 < self.validation < 1 or not 0 < self.learning_rate <= 1:
            raise InputError(
                f"validation={self.validation!r} must lie between 0 and 1, learning_rate={self.learning_rate!r} in "
                "(0, 1]."
            )


NETWORK = ClassifierConfig(kind="network", members=1)
"""One network of three layers of 64, 100 epochs, the ten best averaged (arXiv:2109.00546)."""

TREES = ClassifierConfig()
"""Fifty boostings, each with a split of its own (arXiv:2309.13111)."""

SMALL_TREES = ClassifierConfig(members=10)
"""Ten instead of fifty: less averaged, a fifth of the time."""

SMALL_NETWORK = ClassifierConfig(
    kind="network",
    members=1,
    fit=FitConfig(epochs=20, lr=2e-3, batch_size=512, schedule="one-cycle", patience=None, threads=1),
    best=5,
)
"""A fifth of the epochs of NETWORK, in batches four times as large."""

CONFIGS: Mapping[str, ClassifierConfig] = {
    "paper": NETWORK,
    "trees": TREES,
    "small": SMALL_TREES,
    "small-network": SMALL_NETWORK,
}
"""The configurations of a method that is nothing but such a classifier."""


class RatioClassifier:
    """The probability that an event is of the second of two samples, both taken to be equally likely.

    It minimises the cross entropy with both samples weighted to the same sum; at the minimum p / (1 - p) is the ratio
    of the densities of the second and the first sample.
    """

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        self.config = config or ClassifierConfig()
        self._members: list[Any] = []
        self._width = 0
        self._bins: _Bins | None = None

    def fit(self, x0: npt.ArrayLike, x1: npt.ArrayLike, seed: int = 0, *, untrained: bool = False) -> Self:
        """Learn to tell x1 (m, d) from x0 (n, d); return self. untrained=True leaves the first guess.

        Raises InputError for shapes that do not fit, or too few events to split.
        """
        first, second = (np.asarray(x, np.float64) for x in (x0, x1))
        if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
            raise InputError(f"the samples have shapes {first.shape}, {second.shape}; expected (n, d) and (m, d).")
        if min(len(first), len(second)) < 4:
            raise InputError(f"the samples have {len(first)} and {len(second)} events; at least 4 of each are needed.")
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        c, self._width, self._members = self.config, first.shape[1], []
        self._bins = _Bins(np.concatenate([first, second])) if c.kind == "trees" else None
        first, second = self._prepared(first), self._prepared(second)
        for member in range(c.members):
            own = derive_seed(seed, c.kind, member)
            parts = [_halves(x, c.validation, derive_seed(own, i)) for i, x in enumerate((first, second))]
            train, val = (_labelled(parts[0][side], parts[1][side]) for side in (0, 1))
            learn = _learn_trees if c.kind == "trees" else _learn_network
            with threadpool_limits(threads(), user_api="openmp"):
                self._members.append(learn(c, train, val, own, untrained))
        return self

    def probability(self, x: npt.ArrayLike) -> Floats:
        """Return p(second sample) of events (n, d) as (n,): the mean over the ensemble.

        Raises RunError before the fit, InputError for another number of features.
        """
        rows = np.asarray(x, np.float64)
        if not self._members:
            raise RunError("probability needs a fitted RatioClassifier; call .fit(x0, x1) first.")
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise InputError(f"x has shape {rows.shape}; expected (n, {self._width}), as in the fit.")
        from threadpoolctl import threadpool_limits

        rows = self._prepared(rows)
        with threadpool_limits(threads(), user_api="openmp"):
            return np.asarray(np.mean([member(rows) for member in self._members], axis=0))

    def _prepared(self, x: Floats) -> Floats:
        return x if self._bins is None else self._bins(x)


_Sample = tuple[Floats, Floats]


def balanced_weights(y: Floats) -> Floats:
    """Return weights (n,) with which both classes of y, 0 and 1, sum to n / 2."""
    share = float(y.mean())
    return np.where(y == 1, 0.5 / share, 0.5 / (1 - share))


def _halves(x: Floats, validation: float, seed: int) -> tuple[Floats, Floats]:
    order = rng(seed, "split").permutation(len(x))
    cut = min(max(round(validation * len(x)), 1), len(x) - 1)
    return x[order[cut:]], x[order[:cut]]


def _labelled(x0: Floats, x1: Floats) -> _Sample:
    return np.concatenate([x0, x1]), np.concatenate([np.zeros(len(x0)), np.ones(len(x1))])


class _Constant:
    """A classifier that has seen nothing: one half everywhere."""

    def __call__(self, x: Floats) -> Floats:
        return np.full(len(x), 0.5)


class _Trees:
    """The first `best` trees of a boosting."""

    def __init__(self, model: Any, best: int) -> None:
        self.model, self.best = model, best

    def __call__(self, x: Floats) -> Floats:
        stages = self.model.staged_decision_function(x)
        return np.asarray(expit(next(islice(stages, self.best - 1, None))))


class _Bins:
    """Features replaced by the number of their quantile bin: found once for all members, unweighted.

    scikit-learn would look for weighted quantiles anew in every fit, which takes longer than most of these fits; of
    values as few as its bins it takes all.
    """

    def __init__(self, x: Floats) -> None:
        shares = np.linspace(0, 1, _BINS + 1)[1:-1]
        self.edges = [np.unique(np.quantile(column, shares)) for column in x.T]

    def __call__(self, x: Floats) -> Floats:
        return np.stack([np.searchsorted(e, column) for e, column in zip(self.edges, x.T, strict=True)], axis=1) * 1.0


def _learn_trees(c: ClassifierConfig, train: _Sample, val: _Sample, seed: int, untrained: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    if untrained:
        return _Constant()
    model = HistGradientBoostingClassifier(
        max_iter=c.trees, learning_rate=c.learning_rate, max_leaf_nodes=c.leaves, min_samples_leaf=c.min_leaf,
        early_stopping=True, n_iter_no_change=c.patience, tol=1e-7, scoring="loss", random_state=seed,
    )  # fmt: skip
    model.fit(
        train[0], train[1], sample_weight=balanced_weights(train[1]), X_val=val[0], y_val=val[1],
        sample_weight_val=balanced_weights(val[1]),
    )  # fmt: skip
    best = int(np.argmax(model.validation_score_))  # scores are negative losses, after 0, 1, ... trees
    return _Trees(model, best) if best else _Constant()


class _Network:
    """Networks of several epochs, whose outputs are averaged."""

    def __init__(self, models: list[Any]) -> None:
        self.models = models

    def __call__(self, x: Floats) -> Floats:
        from hepml_nb.learn import RowBatches, predict

        batches = RowBatches(x.astype(np.float32), batch_size=_ROWS, shuffle=False)
        each = [predict(model, batches, lambda net, batch: net(batch[0])[:, 0].sigmoid()) for model in self.models]
        return np.asarray(np.mean([one.double().numpy() for one in each], axis=0))


def _learn_network(c: ClassifierConfig, train: _Sample, val: _Sample, seed: int, untrained: bool) -> Any:
    import torch
    from torch import nn

    from hepml_nb.anomaly.epochs import BestEpochs
    from hepml_nb.learn import RowBatches, Standardise, fit, mlp

    x, y, w = (a.astype(np.float32) for a in (*train, balanced_weights(train[1])))
    checked = [a.astype(np.float32) for a in (*val, balanced_weights(val[1]))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        model = nn.Sequential(Standardise(x.shape[1]).fit(torch.from_numpy(x)), mlp([x.shape[1], *c.hidden, 1]))
    chosen, config = BestEpochs(c.best, weighted_cross_entropy), replace(c.fit, epochs=0) if untrained else c.fit
    source = RowBatches(x, y, w, batch_size=config.batch_size, seed=derive_seed(seed, "order"))
    fit(model, chosen, source, [tuple(torch.from_numpy(a) for a in checked)], config, seed=seed, desc="classifier")
    return _Network(chosen.models(model))


def weighted_cross_entropy(model: Any, batch: Sequence[Any]) -> Any:
    """Mean of w (-y log p - (1 - y) log(1 - p)) over a batch (x (n, d), y (n,), w (n,)), p = sigmoid(model(x))."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    x, y, w = batch
    return binary_cross_entropy_with_logits(model(x)[:, 0], y, w)
