"""All methods on Z + jet, one row per fit: to the events as they are, or to a bootstrap replica of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hepml_nb.core import InputError, Result, derive_seed, rng, suggest
from hepml_nb.unfolding.judge import triangular
from hepml_nb.unfolding.problems import OBSERVABLES, ZJETS_BINS, Problem, merged, zjets
from hepml_nb.unfolding.registry import make
from hepml_nb.unfolding.sample import Floats, Measured
from hepml_nb.unfolding.spectrum import histogram
from hepml_nb.unfolding.uncertainty import VARIED, resampled, spectra

__all__ = ["DETECTORS", "PRIOR", "combine", "landscape", "same_detector"]

PRIOR = "prior"
"""The name of no method: the simulation's own spectra."""

DETECTORS = ("own", "same")
"""What nature's events went through: what its generator makes of the detector, or what the simulation makes of it."""


def landscape(point: Mapping[str, Any]) -> dict[str, Any]:
    """Unfold the six observables of Z + jet with one method; return its row.

    point: "method" (a registered name, or `PRIOR`), "seed" (of the training), "replica" (0: the events as they are;
    from 1 on: measured and simulated events with Poisson weights, the same for all methods, and another training);
    optionally "config" ("small"), "settings" (changes to it), "profile" ("tutorial"), "detector" ("own"; with "same"
    the problem is that of `same_detector`).
    The row: triangular discriminators x 1e3 to nature's truth in the bins of the public demonstration, thin ones
    merged, {observable: value}; their floors; the truth's events; seconds, and processor seconds over all threads.
    """
    from hepml_nb import data

    seed, replica, method = int(point["seed"]), int(point["replica"]), str(point["method"])
    problem = zjets(data.load("zjets", profile=str(point.get("profile", "tutorial"))).split("train"))
    detector, weights = str(point.get("detector", "own")), None
    if detector not in DETECTORS:
        raise InputError(f"detector={detector!r} is unknown{suggest(detector, DETECTORS)}")
    if detector == "same":
        problem, weights = same_detector(problem)
    bins = {name: merged(edges, problem.simulation.column(name)) for name, edges in ZJETS_BINS.items()}
    simulation, measured = problem.simulation, problem.measured
    if replica:
        simulation, measured = resampled(simulation, measured, VARIED, rng(0, "landscape", replica))
    start, start_cpu = time.perf_counter(), time.process_time()
    if method == PRIOR:
        found = {name: histogram(simulation.column(name), edges, simulation.weights) for name, edges in bins.items()}
    else:
        settings = point.get("settings", {})
        found = spectra(
            lambda: make(method, point.get("config", "small"), **settings),
            simulation, measured, bins, derive_seed(seed, "landscape", replica),
        )  # fmt: skip
    spent, spent_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    judged = {name: triangular(found[name], problem.truth[:, i], weights=weights) for i, name in enumerate(OBSERVABLES)}
    return {
        "triangular": {name: one.value for name, one in judged.items()},
        "floor": {name: one.floor for name, one in judged.items()},
        "events": len(problem.truth),
        "seconds": round(spent, 2),
        "cpu_seconds": round(spent_cpu, 2),
    }


def same_detector(problem: Problem) -> tuple[Problem, Floats]:
    """Return the problem with a nature that the detector treats as it treats the simulation, and its truth's weights.

    Every second simulated event plays nature, with weights (t,) that give it nature's spectra: the ratio of nature's
    truth to the simulation that a logistic regression on all cubic terms of the observables finds. They depend on what
    was before the detector only, so that p(sim | gen) stays the simulation's. For problems without losses.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    simulation, half = problem.simulation, np.arange(len(problem.simulation)) % 2 == 0
    ours, theirs = simulation.gen[half], problem.truth
    ratio = make_pipeline(
        StandardScaler(), PolynomialFeatures(3, include_bias=False), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    ratio.fit(np.concatenate([ours, theirs]), np.repeat([0, 1], [len(ours), len(theirs)]))
    weights = np.exp(np.clip(ratio.decision_function(ours), -3, 3))
    weights *= half.sum() / weights.sum()
    scale = half.sum() / simulation.weights[~half].sum()
    rest = replace(
        simulation, gen=simulation.gen[~half], sim=simulation.sim[~half], weights=scale * simulation.weights[~half],
        pass_gen=None, pass_sim=None,
    )  # fmt: skip
    return Problem(rest, Measured(simulation.sim[half], weights), ours), weights


def combine(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Result]]:
    """Join committed rows of `landscape` into {method: {observable: Result}}, for `claim` to judge.

    The value is the mean over trainings on the events as they are. error, replicas: of the bootstrap, in which data,
    simulation and training fluctuate at once, so that no spread of trainings comes on top (`seeds` is 0). Only replicas
    that all methods have count, so that they are paired; baseline: the prior.
    Raises InputError for a method without a row of the events as they are, or fewer than three replicas in common.
    """
    nominal: dict[str, list[Mapping[str, Any]]] = {}
    repeated: dict[str, dict[int, Mapping[str, Any]]] = {}
    for entry in rows:
        point, row = entry["point"], entry["row"]
        repeated.setdefault(point["method"], {})
        if point["replica"]:
            repeated[point["method"]][int(point["replica"])] = row
        else:
            nominal.setdefault(point["method"], []).append(row)
    if missing := sorted(set(repeated) - set(nominal)):
        raise InputError(f"{', '.join(missing)} has no row with replica 0; run it on the events as they are.")
    common = sorted(set.intersection(*(set(one) for one in repeated.values()))) if repeated else []
    if len(common) < 3:
        raise InputError(f"{len(common)} replicas are common to all {len(repeated)} methods; an error needs three.")
    return {
        method: {
            name: _joined(name, some, [repeated[method][i] for i in common], nominal.get(PRIOR, []), common)
            for name in OBSERVABLES
        }
        for method, some in nominal.items()
    }


def _joined(name: str, nominal: Any, repeated: Any, prior: Any, common: list[int]) -> Result:
    replicas = np.array([row["triangular"][name] for row in repeated])
    return Result(
        value=float(np.mean([row["triangular"][name] for row in nominal])),
        error=float(replicas.std(ddof=1)),
        n=nominal[0]["events"],
        floor=nominal[0]["floor"][name],
        baseline=prior[0]["triangular"][name] if prior else None,
        better="lower",
        definition="triangular discriminator x 1000",
        seeds=0,
        replicas=replicas[None],
        pairing=f"landscape {name} {common}",
    )
