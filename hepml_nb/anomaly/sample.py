"""What every resonance search starts from: events with a mass and features, and a window in the mass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError

__all__ = ["SIGNAL_REGION", "Bools", "Events", "Floats", "Window", "concatenate", "disjoint"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Events:
    """Events of a resonance search, one per row.

    mjj: (n,), TeV, the mass in which a resonance would stand out. features: (n, d) or (n,), what a method looks at,
    with names of the columns (x0, x1 ... if none are given). labels: (n,) of 1 (signal) and 0 (background), or None
    where nobody knows, as in data; no method but a supervised one reads them.
    Raises InputError for unequal lengths, another number of names, NaN or infinite values, other labels.
    """

    mjj: Any
    features: Any
    names: tuple[str, ...] = ()
    labels: Any = None

    def __post_init__(self) -> None:
        mjj, features = np.asarray(self.mjj, np.float64), np.asarray(self.features, np.float64)
        features = features[:, None] if features.ndim == 1 else features
        if mjj.ndim != 1 or features.ndim != 2 or features.shape[1] < 1:
            raise InputError(f"mjj has shape {mjj.shape}, features {features.shape}; expected (n,) and (n, d).")
        labels = None if self.labels is None else np.asarray(self.labels)
        lengths = {"mjj": len(mjj), "features": len(features)} | ({} if labels is None else {"labels": len(labels)})
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise InputError(f"the columns have unequal lengths ({said}); row i of each must be the same event.")
        names = tuple(self.names) or tuple(f"x{i}" for i in range(features.shape[1]))
        if len(names) != features.shape[1]:
            raise InputError(f"{len(names)} names ({', '.join(names)}) for {features.shape[1]} columns of features.")
        for name, bad in (("mjj", ~np.isfinite(mjj)), ("features", ~np.isfinite(features).all(axis=1))):
            if bad.any():
                where = f"(first in row {int(np.argmax(bad))})"
                raise InputError(f"{name} is NaN or infinite in {int(bad.sum())} of {len(mjj)} events {where}.")
        if labels is not None and not np.isin(labels, (0, 1)).all():
            odd = labels[~np.isin(labels, (0, 1))][0]
            raise InputError(f"labels holds {odd!r}; expected 1 for signal and 0 for background, or labels=None.")
        object.__setattr__(self, "mjj", mjj)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "labels", None if labels is None else labels.astype(np.int8))

    def __len__(self) -> int:
        return len(self.mjj)

    def __getitem__(self, rows: Any) -> Events:
        """Return the events that a mask (n,), indices or a slice select."""
        chosen = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        labels = None if self.labels is None else self.labels[chosen]
        return Events(self.mjj[chosen], self.features[chosen], self.names, labels)

    def only(self, *names: str) -> Events:
        """Return the events with these features only, in this order; raise InputError for a name that is not there."""
        if unknown := [name for name in names if name not in self.names]:
            raise InputError(f"there is no feature {unknown[0]!r}; there are {', '.join(self.names)}.")
        columns = [self.names.index(name) for name in names]
        return Events(self.mjj, self.features[:, columns], names, self.labels)

    def __repr__(self) -> str:
        known = "labels unknown" if self.labels is None else f"{int(self.labels.sum()):,} of them signal"
        return f"Events({len(self):,}, {known}; {', '.join(self.names)})"


def concatenate(parts: Sequence[Events]) -> Events:
    """Return the events of all parts in their order; labels only where every part has them.

    Raises InputError for no part, or other columns in one of them.
    """
    if not parts:
        raise InputError("there is nothing to concatenate; expected at least one Events.")
    for part in parts[1:]:
        same_columns(parts[0], part, "a part")
    labels = None if any(p.labels is None for p in parts) else np.concatenate([p.labels for p in parts])
    return Events(
        np.concatenate([p.mjj for p in parts]), np.concatenate([p.features for p in parts]), parts[0].names, labels
    )


def same_columns(ours: Events, theirs: Events, name: str) -> None:
    """Raise InputError where the events called `name` have other columns than ours."""
    if theirs.names != ours.names:
        raise InputError(f"{name} has the columns {', '.join(theirs.names)}; expected {', '.join(ours.names)}.")


def disjoint(**samples: Events) -> None:
    """Raise InputError where an event (mass and features bit by bit) stands in two of the named samples.

    An event that was trained on and is scored as well makes a background look like a signal.
    """
    rows = {name: np.unique(_keys(events)) for name, events in samples.items()}
    names = list(rows)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            common = len(np.intersect1d(rows[one], rows[other], assume_unique=True))
            if common:
                raise InputError(
                    f"{common} events of {one} ({len(samples[one])}) are also in {other} ({len(samples[other])}); "
                    "split the events before anything else, so that none is on both sides."
                )


def unique(events: Events) -> None:
    """Raise InputError where an event stands in the sample twice: dealt out to two folds, it would score itself."""
    twice = len(events) - len(np.unique(_keys(events)))
    if twice:
        raise InputError(f"{twice} of {len(events)} events stand there twice; keep one of each before folds are dealt.")


def _keys(events: Events) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of every event: its bits, mixed column by column (splitmix64)."""
    table = np.column_stack([events.mjj, events.features]) + 0.0  # -0.0 becomes 0.0
    keys = np.zeros(len(table), np.uint64)
    for column in np.ascontiguousarray(table.T).view(np.uint64):
        keys = (keys ^ column) + np.uint64(0x9E3779B97F4A7C15)
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
    return keys


@dataclass(frozen=True)
class Window:
    """A window low < mjj < high (TeV) where a signal is looked for; reach: the range of all events that are used.

    What lies in the reach beside the window is the sideband. Raises InputError unless low < high within the reach.
    """

    low: float
    high: float
    reach: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        bottom, top = self.reach
        if not bottom < self.low < self.high < top:
            raise InputError(
                f"window {self.low:g} to {self.high:g} TeV in a reach of {bottom:g} to {top:g} TeV; expected "
                "reach[0] < low < high < reach[1], all in TeV."
            )

    def inside(self, mjj: npt.ArrayLike) -> Bools:
        """Return which of the masses (n,) lie in the window."""
        values = np.asarray(mjj, np.float64)
        return np.asarray((values > self.low) & (values < self.high))

    def split(self, events: Events) -> tuple[Events, Events]:
        """Return (sideband, signal region) of the events within reach.

        Raises InputError where the window, or the sideband on one of its sides, has no event.
        """
        used = (events.mjj > self.reach[0]) & (events.mjj < self.reach[1])
        inside = used & self.inside(events.mjj)
        below, above = used & (events.mjj <= self.low), used & (events.mjj >= self.high)
        if not inside.any():
            where = f" (they reach from {events.mjj.min():g} to {events.mjj.max():g} TeV)" if len(events) else ""
            raise InputError(f"none of the {len(events)} events lies in {self}{where}.")
        for side, found in (("below", below), ("above", above)):
            if not found.any():
                raise InputError(
                    f"no event lies {side} {self}: {int(inside.sum())} of {len(events)} events are inside; a "
                    "background can only be interpolated with a sideband on both sides."
                )
        return events[below | above], events[inside]

    def __str__(self) -> str:
        return f"the window {self.low:g} to {self.high:g} TeV"


SIGNAL_REGION = Window(3.3, 3.7)
"""The window of most studies on the LHC Olympics set, around its resonance of 3.5 TeV (arXiv:2109.00546)."""
