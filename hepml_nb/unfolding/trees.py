"""The ratio of two weightings of the same rows by boosted trees on histograms: rows are binned once, for all steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, threads
from hepml_nb.unfolding.reweighting import LoopConfig
from hepml_nb.unfolding.sample import Floats

__all__ = ["TreeRatio", "TreesConfig"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TreesConfig(LoopConfig):
    """trees: of each ratio. learning_rate: share of each tree that is taken. leaves, min_leaf, l2: as scikit-learn's
    max_leaf_nodes, min_samples_leaf, l2_regularization. max_bins: per observable, at most 255."""

    trees: int = 100
    learning_rate: float = 0.1
    leaves: int = 31
    min_leaf: int = 20
    l2: float = 0.0
    max_bins: int = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"trees": (1, 10**5), "leaves": (2, 10**4), "min_leaf": (1, 10**9), "max_bins": (2, 255)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"{name}={getattr(self, name)!r}; expected {least} to {most}.")
        if not 0 < self.learning_rate <= 1 or self.l2 < 0:
            raise InputError(f"learning_rate={self.learning_rate!r} must lie in (0, 1], l2={self.l2!r} not below 0.")


class TreeRatio:
    """Weighted cross entropy minimised by scikit-learn's histogram trees, its tree grower called directly.

    A row that has a weight w0 in one class and w1 in the other stands there once, with the gradient of both: in step
    2, where the classes are the same events twice, that halves the work. Its classifier would also bin anew in every
    fit, and accepts negative weights, whose leaves it then silently leaves unsplit; here none arrive.
    """

    def __init__(self, x: Floats, config: TreesConfig, seed: int = 0) -> None:
        from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

        self.config, self.threads = config, threads()
        self.mapper: Any = _BinMapper(n_bins=config.max_bins + 1, random_state=seed % 2**32, n_threads=self.threads)
        self.binned = self.mapper.fit_transform(np.ascontiguousarray(x, dtype=np.float64))

    def learn(self, train: Indices, val: Indices, w0: Floats, w1: Floats, seed: int) -> Floats:
        """Return w1 / w0 at the rows `val`, learnt from the rows `train`; the seed changes nothing."""
        train = train[(w0 + w1)[train] > 0]
        n, sums = len(train), (float(w0[train].sum()), float(w1[train].sum()))
        if min(sums) <= 0:
            raise InputError(f"a fold has no weight in one class ({sums[0]:g} and {sums[1]:g}); use more events.")
        zero, one = ((w[train] * (n / 2 / s)).astype(np.float32) for w, s in zip((w0, w1), sums, strict=True))
        inside, outside = np.asfortranarray(self.binned[train]), np.ascontiguousarray(self.binned[val])
        margin, out = np.zeros(n, np.float32), np.zeros(len(val))
        for _ in range(self.config.trees):
            grower = self._grow(inside, margin, zero, one)
            for leaf in grower.finalized_leaves:
                margin[grower.splitter.partition[leaf.partition_start : leaf.partition_stop]] += np.float32(leaf.value)
            tree = grower.make_predictor(binning_thresholds=self.mapper.bin_thresholds_)
            out += tree.predict_binned(outside, self.mapper.missing_values_bin_idx_, self.threads)
        return np.asarray(np.exp(out) * (sums[1] / sums[0]))

    def _grow(self, inside: Any, margin: Any, zero: Any, one: Any) -> Any:
        """Grow one tree to the gradients of w0 log(1 + e^f) + w1 log(1 + e^-f) at the margin f."""
        from scipy.special import expit
        from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower

        share, both = expit(margin), zero + one
        grower = TreeGrower(
            inside, both * share - one, both * share * (1 - share), max_leaf_nodes=self.config.leaves,
            min_samples_leaf=self.config.min_leaf, l2_regularization=self.config.l2, n_bins=self.mapper.n_bins,
            n_bins_non_missing=self.mapper.n_bins_non_missing_, shrinkage=self.config.learning_rate,
            n_threads=self.threads,
        )  # fmt: skip
        grower.grow()
        return grower
