"""Uncertainties by repetition: the bootstrap of one measurement, and coverage over pseudo-experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, NotFound, Result, derive_seed, rng, suggest
from hepml_nb.simulate.gaussian import gaussian_problem
from hepml_nb.unfolding.base import Unfolder
from hepml_nb.unfolding.binned import Binned
from hepml_nb.unfolding.judge import bias, tilt
from hepml_nb.unfolding.problems import zjets
from hepml_nb.unfolding.registry import make
from hepml_nb.unfolding.sample import Floats, Measured, Simulation
from hepml_nb.unfolding.spectrum import Spectrum

__all__ = ["VARIED", "PseudoNature", "bootstrap", "coverage", "covered", "pseudo_nature", "resampled", "spectra"]

VARIED = ("data", "simulation", "training")
"""What fluctuates in a measurement; the background's template belongs to the simulation."""

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
    *,
    vary: Collection[str] = VARIED,
) -> dict[str, Spectrum]:
    """Return spectra with the covariance of n repetitions in which everything in `vary` fluctuates at once.

    Each repetition gives every measured ("data"), simulated and background event ("simulation") a Poisson weight of
    mean one, and fits anew with another seed ("training"). The values are those of the fit to the events as they are.
    The same seed gives an event the same weights whatever else varies.
    Raises InputError for fewer repetitions than two more than the bins, whose covariance could not be inverted, or
    where nothing varies; NotFound for what cannot.
    """
    most = max(len(np.asarray(edges)) - 1 for edges in bins.values())
    if n < most + 2:
        raise InputError(f"n={n!r} repetitions leave the covariance of {most} bins singular; take {most + 2} or more.")
    if unknown := [one for one in vary if one not in VARIED]:
        raise NotFound(f"{unknown[0]!r} cannot vary{suggest(unknown[0], VARIED)}")
    if not vary:
        raise InputError(f"vary={vary!r} leaves nothing that fluctuates; choose from {', '.join(VARIED)}.")
    nominal = spectra(make_method, simulation, measured, bins, seed)
    repeated: dict[str, list[Floats]] = {name: [] for name in bins}
    for i in range(n):
        new = resampled(simulation, measured, vary, rng(seed, "bootstrap", i))
        fit_seed = derive_seed(seed, "bootstrap", i) if "training" in vary else seed
        for name, one in spectra(make_method, *new, bins, fit_seed).items():
            repeated[name].append(one.values)
    return {
        name: replace(one, covariance=np.cov(np.array(repeated[name]).T, ddof=1).reshape(one.covariance.shape))
        for name, one in nominal.items()
    }


def resampled(
    simulation: Simulation, measured: Measured, vary: Collection[str], generator: np.random.Generator
) -> tuple[Simulation, Measured]:
    """Return both samples with Poisson weights of mean one on what is in `vary`, as one repetition of `bootstrap`."""

    def again(weights: Floats, kind: str) -> Floats:
        drawn = generator.poisson(1.0, len(weights))
        return np.asarray(weights * drawn if kind in vary else weights)

    background = again(measured.background_weights, "simulation") if len(measured.background) else None
    return (
        replace(simulation, weights=again(simulation.weights, "simulation")),
        replace(measured, weights=again(measured.weights, "data"), background_weights=background,
                background=measured.background if len(measured.background) else None),
    )  # fmt: skip


class PseudoNature(NamedTuple):
    """Draws pseudo-experiments: a simulation and measured events.

    truth, prior: (b,), the events that nature and the simulation expect before the detector between `edges` (b + 1,).
    """

    draw: Callable[[np.random.Generator], tuple[Simulation, Measured]]
    observable: str
    edges: Floats
    truth: Floats
    prior: Floats


def pseudo_nature(point: Mapping[str, Any]) -> PseudoNature:
    """Return a nature whose truth is known exactly, to be measured as often as one likes.

    point: "problem" ("gaussian", "zjets", "zjets-losses"), "events" (10000, expected of nature before any is lost),
    "simulated" (as many events are simulated; default: the same), "bins" (8), and of Z + jets "observable" ("mass"),
    "profile" ("tutorial"), "tilt" (0.3), "background" (0, measured events of it per measured event of nature).
    The Gaussian is drawn anew. Z + jet events are drawn with replacement from the simulated ones, which so stand for
    all there could be; nature's with a probability that rises or falls over the range of the bins by `tilt`, so that it
    has another spectrum and the same detector. Background events are drawn with a probability that rises with the
    square of their multiplicity, as for jets rich in gluons; four times as many are the template.
    Raises NotFound for an unknown problem.
    """
    kinds = {"gaussian": _gaussian, "zjets": _zjets, "zjets-losses": _zjets}
    kind = str(point.get("problem", "gaussian"))
    if kind not in kinds:
        raise NotFound(f"there is no problem {kind!r}{suggest(kind, kinds)}")
    return kinds[kind](point)


def coverage(point: Mapping[str, Any]) -> dict[str, Any]:
    """Repeat a measurement with new data, simulation and training each time; say how often the truth is within errors.

    point: that of `pseudo_nature` and "method"; optionally "config" ("small"), "settings" (changes to it),
    "experiments" (30), "seed" (0), "bootstrap" (repetitions of the first experiment whose covariance then serves all;
    0: the method's own).
    The row: per bin the experiments with the truth inside one standard deviation ("inside"), the sums of pulls and
    their squares, and the mean value, truth and error. "chi2": its sum, of the bias with the covariance, and in "small"
    how often its p-value was below 0.01. "slopes": the truth's (`judge.tilt` over the simulation), the mean of those
    found and its error. The seconds.
    Raises InputError for fewer experiments than two.
    """
    seed, experiments = int(point.get("seed", 0)), int(point.get("experiments", 30))
    if experiments < 2:
        raise InputError(f"experiments={experiments!r}; how often needs at least two.")
    nature = pseudo_nature(point)
    bins, name = {nature.observable: nature.edges}, nature.observable

    def make_method() -> Unfolder:
        return make(str(point["method"]), point.get("config", "small"), **point.get("settings", {}))

    start = time.perf_counter()
    found: list[Spectrum] = []
    for i in range(experiments):
        drawn = nature.draw(rng(seed, "coverage", i))
        one = spectra(make_method, *drawn, bins, derive_seed(seed, "coverage", i))[name]
        if point.get("bootstrap", 0):
            first = found[0] if i else bootstrap(make_method, *drawn, bins, int(point["bootstrap"]), seed)[name]
            one = replace(one, covariance=first.covariance)
        found.append(one)
    return {
        "experiments": experiments,
        "edges": nature.edges.tolist(),
        **_summary(found, nature),
        "seconds": round(time.perf_counter() - start, 2),
    }


def _summary(found: list[Spectrum], nature: PseudoNature) -> dict[str, Any]:
    """Return the numbers of a row of `coverage` that are about the physics."""
    nothing = np.zeros((len(nature.truth),) * 2)
    exact, prior = (Spectrum(one, nature.edges, nothing) for one in (nature.truth, nature.prior))
    values, errors = np.array([one.values for one in found]), np.array([one.errors for one in found])
    pulls = (values - exact.values) / errors
    judged = [bias(one, exact) for one in found]
    slopes = np.array([tilt(one, prior)[0] for one in found])
    true = tilt(replace(exact, covariance=np.diag(exact.values)), prior)[0]
    return {
        "inside": (np.abs(pulls) < 1).sum(axis=0).tolist(),
        "pulls": pulls.sum(axis=0).tolist(),
        "squares": (pulls**2).sum(axis=0).tolist(),
        "value": values.mean(axis=0).tolist(),
        "truth": exact.values.tolist(),
        "error": errors.mean(axis=0).tolist(),
        "chi2": float(sum(one.chi2 for one in judged)),
        "small": sum(one.p_value < 0.01 for one in judged),
        "slopes": [true, float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(len(slopes)))],
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


def _gaussian(point: Mapping[str, Any]) -> PseudoNature:
    problem, n = gaussian_problem(), int(point.get("events", 10_000))
    edges, simulated = np.linspace(-1.4, 2.2, int(point.get("bins", 8)) + 1), int(point.get("simulated", n))

    def draw(generator: np.random.Generator) -> tuple[Simulation, Measured]:
        seed = int(generator.integers(2**31))
        simulation = Simulation(*problem.simulate(simulated, seed), np.full(simulated, n / simulated))
        return simulation, Measured(problem.measure(int(generator.poisson(n)), seed)[0])

    truth, prior = (one.shares(edges) * n for one in (problem.nature, problem.simulation))
    return PseudoNature(draw, "x0", edges, truth, prior)


def _zjets(point: Mapping[str, Any]) -> PseudoNature:
    from hepml_nb import data

    n, name = int(point.get("events", 10_000)), str(point.get("observable", "mass"))
    simulated, profile = int(point.get("simulated", n)), str(point.get("profile", "tutorial"))
    pool = zjets(data.load(str(point["problem"]), profile=profile).split("train")).simulation
    x, true, seen = pool.column(name), pool.pass_gen, pool.pass_sim
    edges = np.unique(np.quantile(x[true], np.linspace(0.01, 0.99, int(point.get("bins", 8)) + 1)))
    u = np.where(true, np.clip(np.interp(x, edges[[0, -1]], [-1, 1]), -1, 1), 0)
    chance = 1 + float(point.get("tilt", 0.3)) * u
    chance /= chance.sum()
    gluonic = np.where(seen, pool.column("mult", "sim"), 0) ** 2
    gluonic /= gluonic.sum()
    other = float(point.get("background", 0)) * n * chance[seen].sum()

    def draw(generator: np.random.Generator) -> tuple[Simulation, Measured]:
        i = generator.integers(len(x), size=simulated)
        j = generator.choice(len(x), generator.poisson(n), p=chance)
        weights = np.full(simulated, n / simulated)
        simulation = Simulation(pool.gen[i], pool.sim[i], weights, true[i], seen[i], pool.names)
        extra, template = (generator.choice(len(x), generator.poisson(k * other), p=gluonic) for k in (1, 4))
        measured = np.concatenate([pool.sim[j[seen[j]]], pool.sim[extra]])
        share = other / max(len(template), 1)
        return simulation, Measured(measured, None, pool.sim[template], np.full(len(template), share))

    truth, prior = (
        np.histogram(x[true], edges, weights=n * one[true])[0] for one in (chance, np.full(len(x), 1 / len(x)))
    )
    return PseudoNature(draw, name, edges, truth, prior)
