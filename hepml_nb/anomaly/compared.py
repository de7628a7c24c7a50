"""All methods on one search, one row per training: how much a cut improves the search, and what it sculpts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb import data
from hepml_nb.anomaly import registry
from hepml_nb.anomaly.closure import sculpted
from hepml_nb.anomaly.problems import COLUMNS, Problem, lhco, toy
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, Result, derive_seed
from hepml_nb.simulate.resonance import ResonanceToy
from hepml_nb.stats.bootstrap import paired
from hepml_nb.stats.intervals import ONE_SIGMA
from hepml_nb.stats.significance import max_sic, paired_sic

__all__ = ["EFFICIENCY", "OPTIMUM", "SIGNAL", "combine", "landscape", "twin"]

OPTIMUM = "optimum"
"""The name of no method: the ratio of the toy's densities, which no method beats (Neyman and Pearson)."""

EFFICIENCY = 1e-3
"""Background efficiency at which methods are compared."""

SIGNAL = 379
"""Signal events of all masses among 100,000 of background: S / sqrt(B) = 2.3 in the window, as in the public data."""

TWIN = 500
"""Signal events of all masses among the 230,000 QCD dijets of the twin: S / sqrt(B) = 2.3 in the window."""

METRICS = ("sic", "auc")
_N_BOOT = 100  # one set of resampled test events for every row, so that rows can be compared
_SCULPTING = 0.005  # share of background whose masses are looked at


def landscape(point: Mapping[str, Any]) -> dict[str, Any]:
    """Train one method on one search of the toy and judge it on 100,000 background and 20,000 signal events.

    point: "method" (a registered name, or `OPTIMUM`), "seed" (of the training); optionally "experiment" (0: which data,
    the test stays the same), "events" (100,000 of background), "signal" (`SIGNAL`), "shift" (0; 0.1 for features
    that follow the mass), "config" ("small") and "settings" (changes to it).
    The row: metrics (SIC at `EFFICIENCY`, AUC: Result as a dict), replicas (100 numbers of each, paired between rows of
    the same test), greatest (the greatest SIC, its cut in the definition), sculpting (JSD in bits of the masses of
    background that passes a cut of 0.5 %, against the rest), fraction (of signal in the window, where a method fits
    it), background and signal of the window's data, seconds, and processor seconds over all threads.
    """
    shift = float(point.get("shift", 0.0))
    return _trained(point, _problem(point), _spectrum(shift), ResonanceToy(shift))


def twin(point: Mapping[str, Any]) -> dict[str, Any]:
    """Train one method on the shipped tables of the LHC Olympics twin and judge it on 100,000 background events.

    point: "method" and "seed" as in `landscape`; optionally "signal" (events of all masses among the data, `TWIN`),
    "prongs" (2 for W' -> two quarks each, 3), "config" and "settings". Of the extra QCD of the window 30,000 events are
    the pure background of `idealised`. The row is that of `landscape` without the sculpting: all QCD of other masses
    are data, which a method has seen.
    """
    records, extra = (data.load(name, profile="tutorial") for name in ("lhco", "lhco-extra-qcd"))
    everything = (ak.concatenate([one.split(name) for name in one.splits]) for one in (records, extra))
    n_signal, signal = int(point.get("signal", TWIN)), int(point.get("prongs", 2)) - 1
    return _trained(point, lhco(*everything, n_signal=n_signal, signal=signal, pure_background=30_000))


def _trained(
    point: Mapping[str, Any], problem: Problem, spectrum: Events | None = None, exact: ResonanceToy | None = None
) -> dict[str, Any]:
    """Return the row of a method on a search. spectrum: background of all masses; exact: knows the `OPTIMUM`."""
    method, labels = str(point["method"]), problem.test.labels
    start, start_cpu = time.perf_counter(), time.process_time()
    score: Callable[[Events], Floats]
    fraction, elsewhere = None, None
    if method == OPTIMUM and exact is not None:
        score = partial(_optimal, exact)
    else:
        made = registry.make(method, point.get("config", "small"), **point.get("settings", {}))
        made.fit(
            problem.sideband, problem.signal_region, background=problem.background, signal=problem.signal,
            seed=derive_seed(int(point["seed"]), "landscape", method),
        )  # fmt: skip
        score, fraction = made.score, getattr(made, "fraction", None)
    scores = score(problem.test)
    if spectrum is not None:
        elsewhere = sculpted(spectrum.mjj, score(spectrum), efficiency=_SCULPTING)
    spent, spent_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    found = {
        "sic": paired_sic(labels, scores, eff_background=EFFICIENCY, n_boot=_N_BOOT),
        "auc": paired("auc", labels, scores, n_boot=_N_BOOT),
    }
    signal, background = problem.injected
    return {
        "metrics": {name: one.to_dict() for name, one in found.items()},
        "replicas": {name: [float(f"{x:.5g}") for x in _row(one)] for name, one in found.items()},
        "greatest": max_sic(labels, scores).to_dict(),
        "sculpting": None if elsewhere is None else elsewhere.to_dict(),
        "fraction": None if fraction is None else float(fraction),
        "background": background,
        "signal": signal,
        "seconds": round(spent, 2),
        "cpu_seconds": round(spent_cpu, 2),
    }


def combine(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Result]]:
    """Join committed rows of `landscape` into {method: {metric: Result}}, for `claim` to judge.

    Of one metric the value is the mean over trainings; error: the spread of the test over its replicas and that between
    trainings over the root of their number; low, high: 68 % of five or more trainings, their median in the definition;
    floor: the optimum's, where rows have it. Further metrics are "max_sic" (the median training's, its cut in the
    definition) and "jsd" (mean over trainings, where rows have it). Rows given together are of one problem but for the
    experiment.
    Raises InputError for rows that rest on different tests, or twice on the same training.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    seen: set[tuple[Any, ...]] = set()
    for entry in rows:
        point = entry["point"]
        key = (point["method"], point["seed"], point.get("experiment", 0))
        if key in seen:
            raise InputError(
                f"two rows of {key[0]}, seed {key[1]}; give the rows of one signal, one shift, one config."
            )
        seen.add(key)
        groups.setdefault(str(point["method"]), []).append(entry["row"])
    best = {name: groups[OPTIMUM][0]["metrics"][name]["value"] for name in METRICS} if OPTIMUM in groups else {}
    return {
        method: {name: _joined(method, name, group, best.get(name)) for name in METRICS}
        | {"max_sic": _middle(group)}
        | ({"jsd": _sculpting(group)} if all(row["sculpting"] for row in group) else {})
        for method, group in groups.items()
    }


def _problem(point: Mapping[str, Any]) -> Problem:
    """Return the search of a point, with the test of experiment 0, so that all rows of one shift can be paired."""
    experiment, shift = int(point.get("experiment", 0)), float(point.get("shift", 0.0))
    events, signal = int(point.get("events", 100_000)), int(point.get("signal", SIGNAL))
    problem = toy(events, signal, experiment, shift=shift, pure_background=80_000)
    return problem._replace(test=toy(events, signal, 0, shift=shift).test) if experiment else problem


def _optimal(exact: ResonanceToy, events: Events) -> Floats:
    return exact.optimal(events.features)


def _row(result: Result) -> list[float]:
    return [] if result.replicas is None else np.ravel(result.replicas).tolist()


def _spectrum(shift: float) -> Events:
    table = ResonanceToy(shift).background(100_000, derive_seed(0, "landscape spectrum"))
    return Events(table[:, 0], table[:, 1:], COLUMNS)


def _joined(method: str, name: str, rows: list[Mapping[str, Any]], floor: float | None) -> Result:
    first = rows[0]["metrics"][name]
    if len({row["metrics"][name]["pairing"] for row in rows}) > 1:
        raise InputError(f"rows of {method} rest on different test events; run the stale ones again.")
    values = np.array([row["metrics"][name]["value"] for row in rows])
    replicas: Floats = np.array([row["replicas"][name] for row in rows])
    variance = replicas.mean(axis=0).var(ddof=1) + (values.var(ddof=1) / len(values) if len(values) > 1 else 0.0)
    definition, low, high = first["definition"], None, None
    if len(values) >= 5:
        low, median, high = (float(q) for q in np.quantile(values, [(1 - ONE_SIGMA) / 2, 0.5, (1 + ONE_SIGMA) / 2]))
        definition += f"; median of {len(values)} trainings {median:.3g}, 68 % from {low:.3g} to {high:.3g}"
    return Result(
        float(values.mean()), float(np.sqrt(variance)), first["n"], floor, first["baseline"], first["better"],
        definition, low=low, high=high, seeds=0 if _fixed(method) else len(rows), replicas=replicas,
        pairing=first["pairing"],
    )  # fmt: skip


def _fixed(method: str) -> bool:
    return method == OPTIMUM or bool(registry.method(method).cls.deterministic)


def _middle(rows: list[Mapping[str, Any]]) -> Result:
    ordered = sorted((row["greatest"] for row in rows), key=lambda one: float(one["value"]))
    return Result(**ordered[len(ordered) // 2])


def _sculpting(rows: list[Mapping[str, Any]]) -> Result:
    found = [row["sculpting"] for row in rows]
    values = np.array([one["value"] for one in found])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    error = float(np.hypot(spread, np.mean([one["error"] for one in found])))
    about = {name: found[0][name] for name in ("n", "floor", "baseline", "better", "definition")}
    return Result(float(values.mean()), error, seeds=len(rows), **about)
