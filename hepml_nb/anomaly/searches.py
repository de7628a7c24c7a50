"""Whole searches on pseudo-data, as often as one likes: are their p-values right, and what do they find?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom, kstest, norm

from hepml_nb import data
from hepml_nb.anomaly.bumps import expected_z
from hepml_nb.anomaly.discovery import Discovery, chain
from hepml_nb.anomaly.problems import COLUMNS
from hepml_nb.anomaly.registry import make
from hepml_nb.anomaly.sample import Events, Floats, Window
from hepml_nb.core import InputError, Result, derive_seed, rng
from hepml_nb.simulate.dijets import features
from hepml_nb.simulate.resonance import ResonanceToy
from hepml_nb.stats.intervals import clopper_pearson

__all__ = [
    "EDGES",
    "EFFICIENCIES",
    "PARTS",
    "WINDOWS",
    "Calibration",
    "calibration",
    "inclusive_z",
    "pseudo_data",
    "search_toy",
    "search_twin",
]

EDGES: Floats = np.round(np.linspace(2.7, 7.0, 44), 3)
"""Bins of the mass, TeV."""

WINDOWS: tuple[Window, ...] = tuple(
    Window(round(low, 1), round(low + 0.4, 1), (2.7, 7.0)) for low in (2.9, 3.1, 3.3, 3.5, 3.7, 3.9, 4.1)
)
"""Windows that slide by half their width; neighbours share half of their events."""

EFFICIENCIES = (0.1, 0.01, 0.003)
"""Shares of the sideband that the cuts keep."""

PARTS = 10
"""Disjoint sets that the twin's QCD is dealt into."""


def pseudo_data(events: int, signal: int = 0, seed: int = 0, shift: float = 0.0) -> Events:
    """Return one experiment on the toy between 2.7 and 7 TeV: Poisson numbers of background and signal, labelled.

    events, signal: expected, of all masses of the toy. shift: of the toy, 0.1 for features that follow the mass.
    """
    toy = ResonanceToy(shift)
    generator = np.random.default_rng(derive_seed(seed, "numbers"))
    counts = generator.poisson(events), generator.poisson(signal)
    tables = toy.background(counts[0], derive_seed(seed, "b")), toy.signal(counts[1], derive_seed(seed, "s"))
    table, labels = np.concatenate(tables), np.repeat([0, 1], counts)
    used = (table[:, 0] > EDGES[0]) & (table[:, 0] < EDGES[-1])
    mixed = generator.permutation(np.flatnonzero(used))
    return Events(table[mixed, 0], table[mixed, 1:], COLUMNS, labels[mixed])


def search_toy(point: Mapping[str, Any]) -> dict[str, Any]:
    """Make pseudo-data, search all of `WINDOWS` with all of `EFFICIENCIES`, and say what came out.

    point: "seed" (0); optionally "events" (30000, background), "signal" (0), "shift" (0), "method" ("cwola"),
    "config" ("small"), "settings" (changes to it), "folds" (3), "order" (3), "toys" (500).
    The row: global p and z, the least local p, where it was (window, cut), the number of trials; observed, expected and
    local p of all cells; background and signal events in the window around 3.5 TeV, and those that pass the tightest
    cut there; the seconds.
    Raises InputError for a method that needs pure samples.
    """
    seed, shift = int(point.get("seed", 0)), float(point.get("shift", 0.0))
    return _searched(point, pseudo_data(int(point.get("events", 30_000)), int(point.get("signal", 0)), seed, shift))


def search_twin(point: Mapping[str, Any]) -> dict[str, Any]:
    """Search one of ten disjoint sets of simulated QCD dijets, of the shipped tables of the LHC Olympics twin.

    point: "part" (0 to 9); the rest as of `search_toy`, but for what makes pseudo-data. The row is the same.
    """
    records = data.load("lhco", profile="tutorial")
    table = np.concatenate([features(records.split(name)[records.split(name).label == 0]) for name in records.splits])
    used = table[(table[:, 0] > EDGES[0]) & (table[:, 0] < EDGES[-1])]
    mine = used[rng(0, "ten parts").permutation(len(used))[int(point["part"]) :: PARTS]]
    return _searched(point, Events(mine[:, 0], mine[:, 1:], COLUMNS, np.zeros(len(mine))))


def _searched(point: Mapping[str, Any], events: Events) -> dict[str, Any]:
    name, config = str(point.get("method", "cwola")), point.get("config", "small")
    method = partial(make, name, config, **point.get("settings", {}))
    if needed := type(method()).needs:
        raise InputError(f"{name} needs pure {' and '.join(sorted(needed))}; a search has nothing but the data.")
    start = time.perf_counter()
    found = chain(
        events,
        WINDOWS,
        method,
        EDGES,
        efficiencies=EFFICIENCIES,
        folds=int(point.get("folds", 3)),
        order=int(point.get("order", 3)),
        toys=int(point.get("toys", 500)),
        seed=derive_seed(int(point.get("seed", 0)), "search"),
    )
    inside = WINDOWS[_CENTRAL].inside(events.mjj)
    return {
        **_summary(found),
        "background": int((events.labels[inside] == 0).sum()),
        "signal": int(events.labels[inside].sum()),
        "seconds": round(time.perf_counter() - start, 2),
    }


_CENTRAL = next(i for i, window in enumerate(WINDOWS) if window.low == 3.3)


def _summary(found: Discovery) -> dict[str, Any]:
    """Return the numbers of a search as plain lists; cells without a fit expect None."""
    expected = [[None if np.isnan(one) else round(float(one), 3) for one in row] for row in found.expected]
    return {
        "global_p": found.global_p,
        "global_z": found.global_z,
        "local_p": float(found.p.min()),
        "best": list(found.best),
        "trials": round(found.trials, 2),
        "observed": found.observed.astype(int).tolist(),
        "expected": expected,
        "p": found.p.tolist(),
    }


class Calibration(NamedTuple):
    """Global p-values of searches without a signal (n,): are they uniform?

    ks: p-value of Kolmogorov and Smirnov. below: the share below 0.05 with its error; low, high: the central 95 %
    interval of that share for a right p-value.
    """

    p: Floats
    ks: float
    below: Result
    low: float
    high: float


def calibration(rows: Iterable[Mapping[str, Any]]) -> Calibration:
    """Join rows of `search_toy` without a signal; raise InputError for fewer than ten."""
    p = np.array([float(row["global_p"]) for row in rows])
    if len(p) < 10:
        raise InputError(f"{len(p)} searches say nothing about a rate of 5 %; expected ten or more.")
    n, false = len(p), int((p < 0.05).sum())
    low, high = clopper_pearson(false, n)
    share = Result(
        value=false / n,
        error=float(high - low) / 2,
        n=n,
        floor=0.05,
        better="target",
        seeds=0,
        definition="share of searches without a signal whose global p is below 0.05",
    )
    edges = binom.ppf([0.025, 0.975], n, 0.05) / n
    return Calibration(p, float(kstest(p, "uniform").pvalue), share, float(edges[0]), float(edges[1]))


def inclusive_z(events: int, signal: int) -> float:
    """Return the expected local significance of the bump hunt without any cut, the signal's shape known.

    events, signal: as of `pseudo_data`. That of the Asimov data set on the same bins, three parameters.
    """
    toy = ResonanceToy()
    shares = np.array([toy.share(one) for one in pairwise(EDGES)])
    return expected_z(events * shares[:, 0], signal * shares[:, 1], EDGES, order=3) if signal else float(norm.isf(0.5))
