"""All generators on the same showers, one row per training: quality by every measure, and time per shower."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from hepml_nb import data
from hepml_nb.calo import judge, registry
from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.sample import Showers
from hepml_nb.calo.scorecard import milliseconds, scorecard
from hepml_nb.core import InputError, Result, derive_seed, rng
from hepml_nb.learn import n_parameters
from hepml_nb.simulate import cascade
from hepml_nb.simulate.calorimeter import Geometry, geometry

__all__ = ["TRUTH", "combine", "landscape", "simulation_milliseconds"]

TRUTH = "truth"
"""The name of no method: one half of the test showers judged against the other."""

HIGH = 5e4
"""MeV at which times are taken: where a simulation is slow."""

_BATCHES = (1, 100, 1000)


def landscape(point: Mapping[str, Any]) -> dict[str, Any]:
    """Train one generator on the tutorial's showers and judge new showers at the energies of the test split.

    point: "method" (a registered name, or `TRUTH`), "seed" (of the training); optionally "dataset"
    ("calochallenge-1-photons"), "particle" ("photon"), "profile" ("tutorial"), "train" and "test" (showers at most),
    "config" ("small"), "settings" (changes to it), "epochs" (of all its trainings, times this factor), "judges" (of the
    high level; "small", "paper") and "steps" (a list: the high-level AUC and the time with as many steps, too).
    The row: metrics (`scorecard`, each Result as a dict), ms (milliseconds per shower of 50 GeV at batch sizes),
    simulation_ms (of `cascade`, in the same run), steps, fit_cpu_seconds, sample_cpu_seconds, parameters, sizes.
    """
    name = str(point.get("dataset", "calochallenge-1-photons"))
    table, detector = data.load(name, profile=str(point.get("profile", "tutorial"))), geometry(name)
    train, val, test = (Showers.of(table.split(one), detector) for one in ("train", "val", "test"))
    train, test = train[: point.get("train")], test[: point.get("test")]
    judges, seed = tuple(point.get("judges", ("small", "paper"))), int(point["seed"])
    particle = str(point.get("particle", "photon"))
    sizes = {"train": len(train), "test": len(test)}
    if point["method"] == TRUTH:
        order = rng(seed, "halves").permutation(len(test))
        halves = (test[one] for one in (order[::2], order[1::2]))
        return {"metrics": _as_dicts(scorecard(*halves, judges=judges, seed=seed)), **sizes}
    model = registry.make(str(point["method"]), point.get("config", "small"), **point.get("settings", {}))
    model.config = _longer(model.config, float(point.get("epochs", 1)))
    begin = time.process_time()
    model.fit(train, val, derive_seed(seed, "landscape"))
    fitted = time.process_time()
    made = model.sample(test.energies, derive_seed(seed, "sample"))
    sampled = time.process_time()
    top = np.full(1, min(HIGH, model.energy_range[1]))
    return {
        "metrics": _as_dicts(scorecard(test, made, judges=judges, seed=seed)),
        "ms": {str(size): float(f"{ms:.4g}") for size, ms in milliseconds(model, top, _BATCHES).items()},
        "simulation_ms": float(f"{simulation_milliseconds(detector, particle):.4g}"),
        "steps": {str(n): _with_steps(model, int(n), test, seed, top) for n in point.get("steps", ())},
        "fit_cpu_seconds": round(fitted - begin, 2),
        "sample_cpu_seconds": round(sampled - fitted, 2),
        "parameters": parameters(model),
        **sizes,
    }  # fmt: skip


def simulation_milliseconds(detector: Geometry, particle: str = "photon", energy: float = HIGH, n: int = 20) -> float:
    """Return the milliseconds that `cascade` takes for one shower of an energy in MeV, compiled before."""
    cascade.showers(np.full(1, 1e3), detector, particle, rng(0, "compile"))
    begin = time.perf_counter()
    cascade.showers(np.full(n, energy), detector, particle, rng(0, "speed"))
    return 1000 * (time.perf_counter() - begin) / n


def parameters(model: ShowerModel) -> int:
    """Return the number of trainable parameters of all networks that a fitted model holds; 0 where it has none."""
    found: list[nn.Module] = []
    for value in vars(model).values():
        found += [one for one in (value if isinstance(value, list | tuple) else (value,)) if isinstance(one, nn.Module)]
    return sum(n_parameters(one) for one in {id(one): one for one in found}.values())


def combine(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Result]]:
    """Join committed rows of `landscape` into {method: {metric: Result}}, for `claim` to judge.

    The value is the mean over trainings; error: the mean of their own errors, in quadrature with the spread over the
    root of their number. Methods without randomness of their own have 0 trainings. Raises InputError for two rows of
    one training.
    """
    groups: dict[str, dict[int, Mapping[str, Any]]] = {}
    for entry in rows:
        method, seed = str(entry["point"]["method"]), int(entry["point"]["seed"])
        if seed in groups.setdefault(method, {}):
            raise InputError(f"two rows of {method}, seed {seed}; give rows that differ in method and seed only.")
        groups[method][seed] = entry["row"]["metrics"]
    return {
        method: {
            metric: _joined([one[metric] for one in some.values()], _trains(method))
            for metric in next(iter(some.values()))
        }
        for method, some in groups.items()
    }


def _trains(method: str) -> bool:
    return method != TRUTH and registry.method(method).cls.trains


def _joined(found: list[Mapping[str, Any]], trains: bool) -> Result:
    values = np.array([one["value"] for one in found])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    error = float(np.hypot(np.mean([one["error"] for one in found]), spread))
    about = {name: found[0][name] for name in ("n", "floor", "baseline", "better", "definition")}
    return Result(float(values.mean()), error, seeds=len(found) if trains else 0, **about)


def _with_steps(model: ShowerModel, steps: int, test: Showers, seed: int, top: Any) -> dict[str, Any]:
    """Return the high-level AUC and the milliseconds of a fitted model that draws with another number of steps."""
    config, model.config = model.config, replace(model.config, steps=steps)
    try:
        made = model.sample(test.energies, derive_seed(seed, "sample", steps))
        ms = milliseconds(model, top, (100,))[100]
    finally:
        model.config = config
    return {"auc_high": judge.auc(test, made, seed=seed).to_dict(), "ms": float(f"{ms:.4g}")}


def _longer(config: Any, factor: float) -> Any:
    """Return a configuration whose trainings, wherever it holds one, take `factor` times the epochs."""
    if factor == 1 or not is_dataclass(config):
        return config
    changes: dict[str, Any] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if one.name == "epochs":
            changes["epochs"] = max(round(value * factor), 1)
        elif is_dataclass(value):
            changes[one.name] = _longer(value, factor)
    return replace(config, **changes)  # type: ignore[type-var]


def _as_dicts(found: Mapping[str, Result]) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in found.items()}
