"""Boosted decision trees on the observables, kept as plain arrays: nothing to unpickle, no pointer to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, threads
from hepml_nb.tagging.base import Arrays, Tagger

__all__ = ["Trees", "TreesConfig"]

_MOST_LEAVES = 64  # the leaves of a tree are the bits of one 64-bit word
_ROWS = 16384  # columns and words of a chunk stay in the cache


@dataclass(frozen=True)
class TreesConfig:
    """max_iter: at most this many trees. patience: stop after this many without a better validation loss.

    The others as in scikit-learn's HistGradientBoostingClassifier.
    """

    max_iter: int = 1000
    learning_rate: float = 0.1
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    patience: int = 20

    def __post_init__(self) -> None:
        if not 2 <= self.max_leaf_nodes <= _MOST_LEAVES:
            raise InputError(f"max_leaf_nodes={self.max_leaf_nodes!r}; expected 2 to {_MOST_LEAVES}.")


class Trees(Tagger):
    """Histogram gradient boosting by scikit-learn, stopped on the given validation split (boosted trees in particle
    physics: arXiv:physics/0408124).

    After the fit every tree is flattened into (feature, threshold, which leaves are lost by going right) and leaf
    values, and scored by ORing words of bits ("QuickScorer", SIGIR 2015). skops, the usual safe format for
    scikit-learn, itself refuses these trees: their nodes hold indices that compiled code follows unchecked.
    """

    name = "trees"
    configs = {"paper": TreesConfig(), "small": TreesConfig()}  # noqa: RUF012 - a Mapping, never changed
    deterministic = True

    @property
    def n_parameters(self) -> int:
        """Thresholds and leaf values of the trees that are kept."""
        return int(np.isfinite(self.threshold).sum() + (self.value != 0).sum())

    @property
    def n_trees(self) -> int:
        """Trees kept: those up to the best validation loss."""
        return len(self.value)

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        c = self.config
        model = HistGradientBoostingClassifier(
            max_iter=c.max_iter, learning_rate=c.learning_rate, max_leaf_nodes=c.max_leaf_nodes,
            min_samples_leaf=c.min_samples_leaf, l2_regularization=c.l2_regularization,
            early_stopping=True, n_iter_no_change=c.patience, tol=0.0, scoring="loss", random_state=seed,
        )  # fmt: skip
        with threadpool_limits(threads(), user_api="openmp"):
            model.fit(x, y, X_val=x_val, y_val=y_val)
        best = int(np.argmax(model.validation_score_))  # scores are negative losses, after 0, 1, ... trees
        trees = [_flatten(stage[0].nodes) for stage in model._predictors[:best]]
        self._set(float(model._baseline_prediction[0, 0]), trees)

    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None:
        share = float(np.mean(y))
        self._set(float(np.log(share / (1 - share))), [])

    def _set(self, base: float, trees: list[tuple[Any, ...]]) -> None:
        splits, leaves = self.config.max_leaf_nodes - 1, self.config.max_leaf_nodes
        self.base = base
        self.feature = np.zeros((len(trees), splits), np.int32)
        self.threshold = np.full((len(trees), splits), np.inf, np.float32)  # nothing is above: no effect
        self.lost = np.zeros((len(trees), splits), np.uint32 if leaves <= 32 else np.uint64)
        self.value = np.zeros((len(trees), leaves))
        for i, (feature, threshold, lost, value) in enumerate(trees):
            n = len(feature)
            self.feature[i, :n], self.threshold[i, :n], self.lost[i, :n] = feature, threshold, lost
            self.value[i, : len(value)] = value

    def _score(self, x: Any) -> npt.NDArray[Any]:
        from scipy.special import expit

        parts = [self._raw(np.ascontiguousarray(x[i : i + _ROWS].T)) for i in range(0, len(x), _ROWS)]
        return np.asarray(expit(np.concatenate(parts)))

    def _raw(self, columns: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the log odds of jets given as columns (k, n)."""
        n, word = columns.shape[1], self.lost.dtype
        total = np.full(n, self.base)
        above, bits = np.empty(n, bool), np.empty(n, word)
        for feature, threshold, lost, value in zip(
            self.feature.tolist(), self.threshold.tolist(), self.lost, self.value, strict=True
        ):
            gone: npt.NDArray[Any] = np.zeros(n, word)
            for f, t, leaves in zip(feature, threshold, lost, strict=True):
                np.greater(columns[f], t, out=above)
                np.multiply(above, leaves, out=bits)
                gone |= bits
            # the leftmost leaf not gone; lowest is a power of two, whose exponent frexp reads off exactly
            lowest = (~gone & (gone + word.type(1))).astype(np.float64)
            total += value[np.frexp(lowest)[1] - 1]
        return total

    def _state(self) -> Arrays:
        return {"base": np.array([self.base]), "feature": self.feature, "threshold": self.threshold,
                "lost": self.lost, "value": self.value}  # fmt: skip

    def _restore(self, state: Arrays) -> None:
        self.base = float(state["base"][0])
        self.feature, self.threshold = state["feature"], state["threshold"]
        self.lost, self.value = state["lost"], state["value"]


def _flatten(nodes: npt.NDArray[Any]) -> tuple[Any, ...]:
    """Return (feature, threshold, lost leaves as bits, leaf values) of one tree, leaves numbered from the left."""
    feature: list[int] = []
    threshold: list[float] = []
    lost: list[int] = []
    value: list[float] = []

    def visit(index: int) -> None:
        node = nodes[index]
        if node["is_leaf"]:
            value.append(float(node["value"]))
            return
        first, place = len(value), len(lost)
        feature.append(int(node["feature_idx"]))
        threshold.append(_down(float(node["num_threshold"])))
        lost.append(0)
        visit(int(node["left"]))
        lost[place] = (1 << len(value)) - (1 << first)  # going right loses the leaves below the left branch
        visit(int(node["right"]))

    visit(0)
    return feature, threshold, np.array(lost, np.uint64), value


def _down(threshold: float) -> float:
    """Return the largest float32 that is not above: x > it exactly when the float32 x is above the threshold."""
    near = np.float32(threshold)
    return float(near if near <= threshold else np.nextafter(near, np.float32(-np.inf)))
