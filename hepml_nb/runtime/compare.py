"""Two runs side by side: each metric's difference, in units of its error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError
from hepml_nb.runtime.results import read_sidecar

__all__ = ["Difference", "compare_runs", "difference_table"]

_Side = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One metric in two runs; None where a run does not have it. difference = b - a; sigma: over both errors."""

    notebook: str
    metric: str
    a: float | None
    error_a: float | None
    b: float | None
    error_b: float | None
    difference: float | None
    sigma: float | None


def compare_runs(a: _Side, b: _Side) -> list[Difference]:
    """Return the differences between two sidecars, or between the sidecars of two folders, paired by notebook.

    The errors are taken as independent: for two methods on the same events, `claim` is the sharper tool.
    Raises InputError where nothing can be paired.
    """
    left, right = _load(a), _load(b)
    shared = sorted(set(left) & set(right))
    if not shared:
        raise InputError(f"the two have no notebook in common: {sorted(left) or 'none'} and {sorted(right) or 'none'}.")
    return [one for name in shared for one in _pairs(name, left[name], right[name])]


def difference_table(differences: Sequence[Difference]) -> str:
    """Return the differences as a Markdown table, the largest in sigma first."""
    lines = ["| notebook | metric | first | second | difference | σ |", "|:--|:--|--:|--:|--:|--:|"]
    for one in sorted(differences, key=lambda d: -abs(d.sigma) if d.sigma is not None else math.inf):
        cells = [one.notebook, one.metric, _number(one.a, one.error_a), _number(one.b, one.error_b)]
        cells += ["–" if one.difference is None else f"{one.difference:+.4g}"]
        cells += ["–" if one.sigma is None else f"{one.sigma:+.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _load(side: _Side) -> dict[str, dict[str, Any]]:
    """Return notebook -> metric name -> metric."""
    if isinstance(side, Mapping):
        sidecars = [dict(side)]
    elif Path(side).is_dir():
        sidecars = [read_sidecar(path) for path in sorted(Path(side).rglob("*.metrics.json"))]
    else:
        sidecars = [read_sidecar(side)]
    profiles = {sidecar["profile"] for sidecar in sidecars}
    found: dict[str, dict[str, Any]] = {}
    for sidecar in sidecars:
        # a folder may hold several profiles of a notebook; a pair of single runs may differ in profile
        name = f"{sidecar['notebook']} ({sidecar['profile']})" if len(profiles) > 1 else sidecar["notebook"]
        found[name] = {metric["name"]: metric for metric in sidecar["metrics"]}
    return found


def _pairs(notebook: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in dict.fromkeys([*a, *b]):
        one, two = a.get(name, {}), b.get(name, {})
        va, ea, vb, eb = one.get("value"), one.get("error"), two.get("value"), two.get("error")
        difference = None if va is None or vb is None else vb - va
        error = math.hypot(ea or 0.0, eb or 0.0)
        sigma = difference / error if difference is not None and error > 0 else 0.0 if difference == 0 else None
        found.append(Difference(notebook, name, va, ea, vb, eb, difference, sigma))
    return found


def _number(value: float | None, error: float | None) -> str:
    from hepml_nb.core import Result

    if value is None:
        return "–"
    return f"{value:.4g}" if error is None else str(Result(value, error, 0))
