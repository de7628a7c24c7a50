"""Every event of a search scored by a method that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.sample import Events, Floats, Window, disjoint, unique
from hepml_nb.core import InputError, derive_seed, rng

__all__ = ["cross_fit"]


def cross_fit(
    factory: Callable[[], AnomalyMethod],
    events: Events,
    window: Window,
    *,
    folds: int = 5,
    seed: int = 0,
    background: Events | None = None,
    signal: Events | None = None,
    relative_to: Literal["window", "sideband"] = "window",
) -> Floats:
    """Return a score (n,) of every event within the window's reach, NaN outside, from methods trained on other folds.

    factory: returns a new, unfitted method, such as functools.partial(anomaly.make, "cwola"). folds: the events are
    dealt out at random; each fold is scored by the method that was fitted to all others (arXiv:1902.02634).
    Scores of different trainings are not on one scale, so each is replaced by the share of the window's events of the
    same fold that score less, equal scores in random order: a cut at 0.99 keeps 1 % of the window in every fold, also
    where trees have few values to give.
    relative_to: "sideband" takes its events for the window's, which a search needs whose cuts are background
    efficiencies: a signal does not move them, and there are more events, so that harder cuts can be told apart.
    background, signal: pure samples for methods that need them; none of their events may be among `events`.
    Raises InputError for fewer than two folds, more than events in the window, an event that is there twice, and as
    `AnomalyMethod.fit` does.
    """
    window.split(events)  # raises where nothing could be learnt
    used = np.flatnonzero((events.mjj > window.reach[0]) & (events.mjj < window.reach[1]))
    inside = window.inside(events.mjj[used])
    if not 2 <= folds <= inside.sum():
        raise InputError(f"folds={folds!r}; expected 2 or more, at most the {int(inside.sum())} events in the window.")
    pure = {name: one for name, one in (("background", background), ("signal", signal)) if one is not None}
    unique(events)
    disjoint(events=events, **pure)
    fold = np.empty(len(used), np.int64)  # dealt out inside and outside apart, so that all folds are alike
    for part, name in ((np.flatnonzero(inside), "inside"), (np.flatnonzero(~inside), "outside")):
        fold[rng(seed, "folds", name).permutation(part)] = np.arange(len(part)) % folds
    scores = np.full(len(events), np.nan)
    for k in range(folds):
        sideband, signal_region = window.split(events[used[fold != k]])
        fitted = factory().fit(sideband, signal_region, background=background, signal=signal, seed=derive_seed(seed, k))
        mine = used[fold == k]
        among = window.inside(events.mjj[mine])
        chosen = among if relative_to == "window" else ~among
        scores[mine] = _ranks(fitted.score(events[mine]), chosen, rng(seed, "ties", k))
    return scores


def _ranks(scores: Floats, among: np.typing.NDArray[np.bool_], generator: np.random.Generator) -> Floats:
    """Return the share of the chosen scores that lie below each; equal scores are dealt over the share they take."""
    sorted_ = np.sort(scores[among])
    below, level = (np.searchsorted(sorted_, scores, side) for side in ("left", "right"))
    return np.asarray((below + generator.random(len(scores)) * (level - below)) / len(sorted_))
