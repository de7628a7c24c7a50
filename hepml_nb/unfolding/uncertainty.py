"""Uncertainties by repetition: the bootstrap of one measurement, and coverage over pseudo-experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, NotFound, Result, derive_seed, rng, suggest
from hepml_nb.simulate.gaussian import gaussian_problem
from hepml_nb.unfolding.base import Unfolder
from hepml_nb.unfolding.binned import Binned
from hepml_nb.unfolding.problems import zjets
from hepml_nb.unfolding.registry import make
from hepml_nb.unfolding.sample import Floats, Measured, Simulation
from hepml_nb.unfolding.spectrum import Spectrum

__all__ = ["bootstrap", "coverage", "covered", "spectra"]

MakeMethod = Callable[[], Unfolder]
Bins = Mapping[str, npt.ArrayLike]


def spectra(
    make_method: MakeMethod,
    simulation: Simulation,
    measured: Measured,
    bins: Bins,
    seed: int = 0,
    *,
    untrained: bool = False,
) -> dict[str, Spectrum]:
    """Return unfolded spectra {observable: spectrum} in the bins {observable: edges}.

    make_method: returns a new method, `lambda: make("ibu")`. One fit serves all observables of a method that unfolds
    events; one whose configuration names an observable (binned methods, UniFold) is made and fitted once for each.
    """
    method = make_method()
    if not hasattr(method.config, "observable"):
        method.fit(simulation, measured, seed, untrained=untrained)
        return {name: method.spectrum(name, edges) for name, edges in bins.items()}
    found = {}
    for name, edges in bins.items():
        own = {"bins": edges} if isinstance(method, Binned) else {}
        one = type(method)(replace(method.config, observable=name, **own))
        found[name] = one.fit(simulation, measured, seed, untrained=untrained).spectrum(name, edges)
    return found


def bootstrap(
    make_method: MakeMethod,
    simulation: Simulation,
    measured: Measured,
    bins: Bins,
    n: int = 50,
    seed: int = 0,
) -> dict[str, Spectrum]:
    """Return spectra with the covariance of n repetitions in which everything that fluctuates is varied at once.

    Each repetition gives every measured, background and simulated event a Poisson weight of mean one, and fits anew
    with another seed. The values are those of the fit to the events as they are.
    Raises InputError for fewer repetitions than two more than the bins, whose covariance could not be inverted.
    """
    most = max(len(np.asarray(edges)) - 1 for edges in bins.values())
    if n < most + 2:
        raise InputError(f"n={n!r} repetitions leave the covariance of {most} bins singular; take {most + 2} or more.")
    nominal = spectra(make_method, simulation, measured, bins, seed)
    repeated: dict[str, list[Floats]] = {name: [] for name in bins}
    for i in range(n):
        new = _resampled(simulation, measured, rng(seed, "bootstrap", i))
        for name, one in spectra(make_method, *new, bins, derive_seed(seed, "bootstrap", i)).items():
            repeated[name].append(one.values)
    return {
        name: replace(one, covariance=np.cov(np.array(repeated[name]).T, ddof=1).reshape(one.covariance.shape))
        for name, one in nominal.items()
    }


def _resampled(
    simulation: Simulation, measured: Measured, generator: np.random.Generator
) -> tuple[Simulation, Measured]:
    def again(weights: Floats) -> Floats:
        return np.asarray(weights * generator.poisson(1.0, len(weights)))

    background = again(measured.background_weights) if len(measured.background) else None
    return (
        replace(simulation, weights=again(simulation.weights)),
        replace(measured, weights=again(measured.weights), background_weights=background,
                background=measured.background if len(measured.background) else None),
    )  # fmt: skip


class _Source(NamedTuple):
    """Draws pseudo-experiments; `truth` (b,) are the events that each expects before the detector."""

    draw: Callable[[np.random.Generator], tuple[Simulation, Measured]]
    observable: str
    edges: Floats
    truth: Floats


def coverage(point: Mapping[str, Any]) -> dict[str, Any]:
    """Repeat a measurement with new data, simulation and training each time; say how often the truth is within errors.

    point: "method"; optionally "config" ("small"), "settings" (changes to it), "problem" ("gaussian", "zjets"),
    "events" (10000, of each sample), "experiments" (30), "bins" (8), "seed" (0), "bootstrap" (repetitions of the first
    experiment whose errors then serve all; 0: the method's own errors), and of zjets "observable" ("mass"), "profile"
    ("tutorial"), "tilt" (0.3).
    The Gaussian is drawn anew. Z + jet events are drawn with replacement from the simulated ones, which so stand for
    all there could be; measured ones with a probability that rises or falls over the bins by `tilt`, so that nature has
    another spectrum and the same detector. The row: per bin the experiments with the truth inside one standard
    deviation ("inside"), the sums of pulls and their squares, and the mean value, truth and error; the seconds.
    Raises NotFound for an unknown problem.
    """
    seed, experiments = int(point.get("seed", 0)), int(point.get("experiments", 30))
    source = _source(point)
    bins, name = {source.observable: source.edges}, source.observable

    def make_method() -> Unfolder:
        return make(str(point["method"]), point.get("config", "small"), **point.get("settings", {}))

    start = time.perf_counter()
    found: list[Floats] = []
    errors: list[Floats] = []
    for i in range(experiments):
        drawn = source.draw(rng(seed, "coverage", i))
        one = spectra(make_method, *drawn, bins, derive_seed(seed, "coverage", i))[name]
        if not i and point.get("bootstrap", 0):
            one = bootstrap(make_method, *drawn, bins, int(point["bootstrap"]), seed)[name]
        found.append(one.values)
        errors.append(errors[0] if i and point.get("bootstrap", 0) else one.errors)
    pulls = (np.array(found) - source.truth) / np.array(errors)
    return {
        "experiments": experiments,
        "edges": source.edges.tolist(),
        "inside": (np.abs(pulls) < 1).sum(axis=0).tolist(),
        "pulls": pulls.sum(axis=0).tolist(),
        "squares": (pulls**2).sum(axis=0).tolist(),
        "value": np.mean(found, axis=0).tolist(),
        "truth": source.truth.tolist(),
        "error": np.mean(errors, axis=0).tolist(),
        "seconds": round(time.perf_counter() - start, 2),
    }


def covered(rows: Iterable[Mapping[str, Any]]) -> tuple[Result, Floats, Floats, Floats]:
    """Join rows of `coverage` with equal settings and other seeds.

    Returns the mean coverage, and coverage, mean and standard deviation of the pulls for each bin (b,). The error of
    the mean is binomial with one bin's experiments, as bins of one experiment are correlated.
    Raises InputError for no rows or rows of other bins.
    """
    found = list(rows)
    if not found or any(row["edges"] != found[0]["edges"] for row in found):
        raise InputError(f"{len(found)} rows were given; expected some, all of the same bins.")
    n = sum(int(row["experiments"]) for row in found)
    inside, pulls, squares = (np.sum([row[key] for row in found], axis=0) / n for key in ("inside", "pulls", "squares"))
    mean = float(np.mean(inside))
    result = Result(
        value=mean,
        error=float(np.sqrt(max(mean * (1 - mean), 1 / n) / n)),
        n=n,
        floor=0.6827,
        better="target",
        definition="share of experiments with the truth inside one standard deviation, mean of the bins",
    )
    return result, inside, pulls, np.sqrt(np.maximum(squares - pulls**2, 0))


def _source(point: Mapping[str, Any]) -> _Source:
    kinds: dict[str, Callable[[Mapping[str, Any]], _Source]] = {"gaussian": _gaussian, "zjets": _zjets}
    kind = str(point.get("problem", "gaussian"))
    if kind not in kinds:
        raise NotFound(f"there is no problem {kind!r}{suggest(kind, kinds)}")
    return kinds[kind](point)


def _gaussian(point: Mapping[str, Any]) -> _Source:
    problem, n = gaussian_problem(), int(point.get("events", 10_000))
    edges = np.linspace(-1.4, 2.2, int(point.get("bins", 8)) + 1)

    def draw(generator: np.random.Generator) -> tuple[Simulation, Measured]:
        seed = int(generator.integers(2**31))
        return Simulation(*problem.simulate(n, seed)), Measured(problem.measure(int(generator.poisson(n)), seed)[0])

    return _Source(draw, "x0", edges, problem.nature.shares(edges) * n)


def _zjets(point: Mapping[str, Any]) -> _Source:
    from hepml_nb import data

    n, name = int(point.get("events", 10_000)), str(point.get("observable", "mass"))
    profile = str(point.get("profile", "tutorial"))
    pool = zjets(data.load("zjets", profile=profile).split("train")).simulation
    x = pool.column(name)
    edges = np.unique(np.quantile(x, np.linspace(0.01, 0.99, int(point.get("bins", 8)) + 1)))
    u = np.clip(np.interp(x, edges[[0, -1]], [-1, 1]), -1, 1)
    chance = 1 + float(point.get("tilt", 0.3)) * u
    chance /= chance.sum()

    def draw(generator: np.random.Generator) -> tuple[Simulation, Measured]:
        simulated = generator.integers(len(x), size=n)
        seen = generator.choice(len(x), generator.poisson(n), p=chance)
        simulation = Simulation(pool.gen[simulated], pool.sim[simulated], names=pool.names)
        return simulation, Measured(pool.sim[seen])

    return _Source(draw, name, edges, np.histogram(x, edges, weights=chance)[0] * n)
