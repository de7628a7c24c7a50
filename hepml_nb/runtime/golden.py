"""Golden bands: what a notebook's numbers must be, from the spread of seeds, and whether they still are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hepml_nb.core import InputError, atomic_write, golden_dir, progress
from hepml_nb.runtime.notebooks import NotebookLike, info
from hepml_nb.runtime.parameters import read_parameters
from hepml_nb.runtime.runner import run

__all__ = [
    "Deviation",
    "Proposal",
    "check",
    "golden_path",
    "golden_problems",
    "is_timing",
    "propose",
    "read_golden",
    "write_golden",
]

SEEDS = 5  # the least a band may rest on
SPREADS, ERRORS = 5.0, 3.0  # half-width: the larger of 5 seed spreads and 3 stated errors
_ROUNDING = 1e-6  # of the value: what another processor may change in a number without any spread

_Kind = Literal["outside", "improved", "missing", "extra"]


@dataclass(frozen=True)
class Deviation:
    """A recorded number that is not what the golden file says; `distance` is how far outside its band it lies."""

    metric: str
    kind: _Kind
    got: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    distance: float | None = None

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.metric}: in the golden file, but not recorded"
        if self.kind == "extra":
            return f"{self.metric}: recorded ({_text(self.got)}), but not in the golden file; propose bands again"
        line = f"{self.metric}: got {_text(self.got)}, expected {_text(self.value)}"
        if self.low is not None and self.high is not None:
            line += f" in [{self.low:.6g}, {self.high:.6g}]"
        if self.distance is not None:
            line += f", outside by {self.distance:.3g}"
        return line + (" - improved: if that is meant, please tighten the band" if self.kind == "improved" else "")


@dataclass(frozen=True)
class Proposal:
    """Bands proposed from several seeds; a person looks at them and commits the file."""

    golden: dict[str, Any]
    discriminating: list[str] = field(default_factory=list)
    informative: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # trained methods that no band tells from their untrained selves

    def __str__(self) -> str:
        lines = [f"{self.golden['notebook']} ({self.golden['profile']}), seeds {self.golden['seeds']}"]
        for name, band in self.golden["metrics"].items():
            untrained = band["untrained"]
            note = "no untrained run" if untrained is None else f"untrained {_text(untrained)}"
            note += ", excluded" if name in self.discriminating else ", NOT excluded" if untrained is not None else ""
            where = f"{_text(band['value'])} ± {_text(band['half_width'])}"
            lines.append(f"  {name:<40} {where:<26} ({band['why']}; {note})")
        if self.missing:
            lines.append(f"NOT GOOD ENOUGH: no band tells these methods from untrained ones: {', '.join(self.missing)}")
        return "\n".join(lines)


def golden_path(notebook: NotebookLike, profile: str = "smoke") -> Path:
    """Return tests/golden/<topic>/<slug>.<profile>.json."""
    return golden_dir() / f"{info(notebook).id}.{profile}.json"


def read_golden(notebook: NotebookLike, profile: str = "smoke") -> dict[str, Any] | None:
    """Return the golden file's content, None where there is none; InputError when it is not one."""
    path = golden_path(notebook, profile)
    if not path.exists():
        return None
    try:
        golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if golden["schema"] != 1 or not isinstance(golden["metrics"], dict):
            raise ValueError("schema 1 with metrics was expected")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is not a golden file: {error}.") from error
    return golden


def write_golden(proposal: Proposal, path: str | Path | None = None) -> Path:
    """Write the proposed bands where the tests look for them (or to `path`) and return the file."""
    golden = proposal.golden
    target = Path(path) if path else golden_dir() / f"{golden['notebook']}.{golden['profile']}.json"
    with atomic_write(target) as stream:
        stream.write(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    return target


def is_timing(name: str) -> bool:
    """Say whether the metric measures time; such a name has a part ending in per_s, or beginning ms_per or seconds.

    Examples: `pfn.jets_per_s`, `caloflow.ms_per_shower.batch100`, `trees.seconds`. Timings have no band.
    """
    return any(part.endswith("per_s") or part.startswith(("ms_per", "seconds")) for part in name.split("."))


def propose(notebook: NotebookLike, seeds: int = SEEDS, profile: str = "smoke", **options: Any) -> Proposal:
    """Run the notebook with seeds 0 .. seeds-1 and once untrained (`train=False`, where it can), and propose bands.

    options: more of `run`'s (limits, cache, parameters). Raises InputError for fewer than five seeds, for metrics
    that not every seed records, and for a notebook that records nothing.
    """
    if seeds < SEEDS:
        raise InputError(f"seeds={seeds}: a band needs the spread of at least {SEEDS} seeds.")
    about, parameters = info(notebook), dict(options.pop("parameters", {}))
    trained = _values(_sidecars(notebook, parameters, profile, range(seeds), options))
    untrained: dict[str, float | None] = {}
    if "train" in read_parameters(notebook):
        alone = run(notebook, {**parameters, "train": False}, profile=profile, seed=0, **options).metrics
        untrained = {metric["name"]: metric["value"] for metric in alone["metrics"]}
    metrics = {name: _band(*columns, name, untrained) for name, columns in trained.items()}
    golden = {
        "schema": 1,
        "notebook": about.id,
        "profile": profile,
        "seeds": list(range(seeds)),
        "trained": list(about.metadata.get("trained", [])),
        "metrics": metrics,
    }
    discriminating = [name for name in metrics if name in untrained and _excludes(metrics[name])]
    for name in metrics:
        metrics[name]["kind"] = "discriminating" if name in discriminating else "informative"
    informative = [name for name in metrics if name not in discriminating]
    return Proposal(golden, discriminating, informative, _indistinct(golden))


def check(metrics: Mapping[str, Any], golden: Mapping[str, Any]) -> list[Deviation]:
    """Compare a run's sidecar with a golden file; [] is good. A number missing on either side deviates too."""
    recorded = {metric["name"]: metric for metric in metrics["metrics"] if not is_timing(metric["name"])}
    bands = golden["metrics"]
    found = [_compare(name, recorded[name], band) for name, band in bands.items() if name in recorded]
    found += [Deviation(name, "missing", value=band["value"]) for name, band in bands.items() if name not in recorded]
    found += [Deviation(name, "extra", got=one["value"]) for name, one in recorded.items() if name not in bands]
    return [one for one in found if one is not None]


def golden_problems(golden: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a golden file: too few seeds, too wide or narrow bands, untrained methods inside."""
    found = []
    if len(golden["seeds"]) < SEEDS:
        found.append(f"{len(golden['seeds'])} seeds; at least {SEEDS} are needed")
    for name, band in golden["metrics"].items():
        if band["value"] is None:
            continue
        wanted = _half_width(band["seeds_std"], band["stated_error"], band["value"])
        if not math.isclose(band["half_width"], wanted, rel_tol=1e-3, abs_tol=1e-12):
            found.append(f"{name}: half-width {band['half_width']:.4g}; the rule gives {wanted:.4g}")
        edges = (band["value"] - band["half_width"], band["value"] + band["half_width"])
        if not np.allclose((band["low"], band["high"]), edges, rtol=1e-4, atol=1e-9):
            found.append(f"{name}: [{band['low']}, {band['high']}] is not value ± half_width")
        if band["kind"] == "discriminating" and not _excludes(band):
            found.append(f"{name}: called discriminating, but its band holds the untrained value")
    found += [f"no band tells {method} from an untrained {method}" for method in _indistinct(golden)]
    return found


def _sidecars(
    notebook: NotebookLike, parameters: Mapping[str, Any], profile: str, seeds: range, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    bar = progress(seeds, desc="seeds", unit="run")
    return [run(notebook, parameters, profile=profile, seed=seed, **options).metrics for seed in bar]


def _values(sidecars: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return name -> (values, errors) over the seeds, without timings."""
    per_seed = [{m["name"]: m for m in s["metrics"] if not is_timing(m["name"])} for s in sidecars]
    names = list(per_seed[0])
    if not names:
        raise InputError(f"{sidecars[0]['notebook']} records no metric that a band could hold.")
    for seed, metrics in enumerate(per_seed):
        if odd := sorted(set(metrics) ^ set(names)):
            raise InputError(f"seed {seed} records other metrics than seed 0: {', '.join(odd)}; names must not vary.")
    return {name: ([m[name]["value"] for m in per_seed], [m[name]["error"] for m in per_seed]) for name in names}


def _band(
    values: Sequence[float | None], errors: Sequence[float | None], name: str, untrained: Mapping[str, float | None]
) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if len(known) not in (0, len(values)):
        raise InputError(f"{name} is a number with some seeds and nan with others; record it another way.")
    if not known:
        blank = dict.fromkeys(("value", "half_width", "low", "high", "seeds_std", "stated_error", "untrained"))
        return {**blank, "kind": "informative", "why": "always nan"}
    value, spread = float(np.mean(known)), float(np.std(known, ddof=1))
    stated = float(np.mean([error or 0.0 for error in errors]))
    half = _half_width(spread, stated, value)
    why = "5 x seed spread" if SPREADS * spread >= ERRORS * stated else "3 x stated error"
    return {
        "value": _digits(value),
        "half_width": _digits(half),
        "low": _digits(value - half),
        "high": _digits(value + half),
        "seeds_std": _digits(spread),
        "stated_error": _digits(stated),
        "untrained": _digits(untrained.get(name)),
        "kind": "informative",
        "why": why if max(spread, stated) > 0 else "no spread",
    }


def _half_width(spread: float, stated: float, value: float) -> float:
    return max(SPREADS * spread, ERRORS * stated, _ROUNDING * abs(value))


def _excludes(band: Mapping[str, Any]) -> bool:
    if band["value"] is None or band["untrained"] is None:
        return False
    return not band["low"] <= band["untrained"] <= band["high"]


def _indistinct(golden: Mapping[str, Any]) -> list[str]:
    good = [name for name, band in golden["metrics"].items() if band["kind"] == "discriminating"]
    return [method for method in golden.get("trained", []) if not any(name.startswith(f"{method}.") for name in good)]


def _compare(name: str, metric: Mapping[str, Any], band: Mapping[str, Any]) -> Deviation | None:
    got, value, low, high = metric["value"], band["value"], band["low"], band["high"]
    if got is None or value is None:
        return None if got is value else Deviation(name, "outside", got, value, low, high)
    if low <= got <= high:
        return None
    better = {"higher": got > high, "lower": got < low}.get(metric.get("better", ""), False)
    distance = max(low - got, got - high)
    return Deviation(name, "improved" if better else "outside", got, value, low, high, distance)


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")


def _text(value: float | None) -> str:
    return "nan" if value is None else f"{value:.5g}"
