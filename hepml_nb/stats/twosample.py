"""Can a classifier tell two samples apart? If it cannot, they are alike in every way that it can see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result

from .checks import table

__all__ = ["c2st"]


def c2st(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    seed: int = 0,
    folds: int = 5,
    z_score: bool = True,
    max_iter: int = 10000,
    baseline: float | None = None,
) -> Result:
    """Return the classifier two-sample test: mean held-out accuracy of a network that tells x from y.

    x, y: (n, d), (m, d) or (n,), (m,). The definition of sbibm (arXiv:2101.04653): both z-scored with mean and
    standard deviation of x, scikit-learn's MLPClassifier with two hidden layers of 10 d relu units, adam, `folds`-fold
    shuffled cross-validation. 0.5: cannot be told apart (the floor is the larger sample's share); 1: never alike.
    error: the larger of the binomial error and the scatter of the folds. Costs seconds to minutes at 1000 to 10000
    rows. Raises InputError for nan, different d, fewer rows than folds, a constant column of x.
    """
    a, b = table(x, "x"), table(y, "y")
    if a.shape[1] != b.shape[1]:
        raise InputError(f"x has {a.shape[1]} columns and y has {b.shape[1]}; both samples need the same ones.")
    if not 2 <= folds <= min(len(a), len(b)):
        raise InputError(f"folds={folds!r} for {len(a)} and {len(b)} rows; expected from 2 up to the smaller sample.")
    if z_score:
        mean, spread = a.mean(axis=0), a.std(axis=0, ddof=1)
        if (spread == 0).any():
            raise InputError(
                f"column {int(np.argmin(spread))} of x is constant, so it has no z-score; drop it or z_score=False."
            )
        a, b = (a - mean) / spread, (b - mean) / spread
    # imported here: scikit-learn takes over a second
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    width = 10 * a.shape[1]
    network = MLPClassifier(
        activation="relu", hidden_layer_sizes=(width, width), max_iter=max_iter, solver="adam", random_state=seed
    )
    data = np.concatenate([a, b])
    target = np.repeat([0.0, 1.0], [len(a), len(b)])
    split = KFold(n_splits=folds, shuffle=True, random_state=seed)
    scores = np.asarray(cross_val_score(network, data, target, cv=split, scoring="accuracy"), dtype=np.float64)
    value, n = float(scores.mean()), len(data)
    error = max(np.sqrt(value * (1 - value) / n), scores.std(ddof=1) / np.sqrt(folds), 0.5 / n)
    share = max(len(a), len(b)) / n
    return Result(value, float(error), min(len(a), len(b)), share, baseline, "lower", f"C2ST accuracy, {folds} folds")
