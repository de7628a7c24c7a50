"""Recorded numbers become rows that judge themselves: value ± error, band in words, floor, baseline, published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hepml_nb.runtime.notebooks import NotebookLike
from hepml_nb.runtime.parameters import read_parameters
from hepml_nb.runtime.tables import cells

__all__ = ["Band", "ClaimRow", "Row", "applicable_golden", "bands", "claim_rows", "rows", "tally"]


@dataclass(frozen=True)
class Band:
    """Where a number lies against its golden band, in a word and a sign as well as a colour."""

    word: str
    mark: str
    css: str
    range: str = ""


@dataclass(frozen=True)
class Row:
    """One recorded number as the texts of its table row."""

    name: str
    value: str
    n: str
    floor: str
    baseline: str
    published: str
    source: str
    definition: str
    interval: str
    seeds: int
    band: Band | None


@dataclass(frozen=True)
class ClaimRow:
    """One claim as texts: the outcome is a word and a sign; all three outcomes are honest results."""

    text: str
    outcome: str
    mark: str
    css: str
    detail: str


_WORDS = {
    "inside": ("inside", "✓", "good"),
    "outside": ("outside", "✗", "bad"),
    "improved": ("better than its band", "↑", "warn"),
    "missing": ("not recorded", "✗", "bad"),
}
_OUTCOMES = {"holds": ("✓", "good"), "consistent": ("≈", "warn"), "reversed": ("✗", "bad")}


def applicable_golden(notebook: NotebookLike, sidecar: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the golden bands of a run, or None where they do not apply.

    They were made with the notebook's own parameters, so any seed will do, but no other change.
    """
    from hepml_nb.runtime.golden import read_golden

    defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
    given = {name: value for name, value in sidecar["parameters"].items() if name not in ("profile", "seed")}
    if any(value != defaults.get(name) for name, value in given.items()):
        return None
    return read_golden(notebook, str(sidecar["profile"]))


def bands(sidecar: Mapping[str, Any], golden: Mapping[str, Any] | None) -> dict[str, Band]:
    """Return the verdict on every metric that has a golden band, recorded or not; {} where no bands apply.

    sidecar: the metrics of a run. golden: `golden.read_golden(...)`, or None when the run's parameters are not
    those that the bands were made with.
    """
    if not golden:
        return {}
    from hepml_nb.runtime.golden import check

    verdicts = {deviation.metric: deviation.kind for deviation in check(sidecar, golden)}
    found = {}
    for name, entry in golden.get("metrics", {}).items():
        low, high = entry.get("low"), entry.get("high")
        if low is not None or high is not None:
            word, mark, css = _WORDS[verdicts.get(name, "inside")]
            found[name] = Band(word, mark, css, _range(low, high))
    return found


def rows(sidecar: Mapping[str, Any], verdicts: Mapping[str, Band]) -> list[Row]:
    """Return the table rows of a run's metrics in the order in which they were recorded."""
    return [_row(metric, verdicts.get(metric["name"])) for metric in sidecar.get("metrics", ())]


def claim_rows(claims: Sequence[Mapping[str, Any]]) -> list[ClaimRow]:
    """Return the claims of a run or of a committed result."""
    found = []
    for claim in claims:
        mark, css = _OUTCOMES.get(claim["outcome"], ("?", "warn"))
        sigma = claim.get("sigma")
        detail = "no error to judge by" if sigma is None else f"{sigma:+.1f} σ"
        found.append(ClaimRow(str(claim["text"]), str(claim["outcome"]), mark, css, detail))
    return found


def tally(verdicts: Mapping[str, Band]) -> tuple[str, str, str]:
    """Return (words, sign, css class) that sum up the bands of one notebook."""
    if not verdicts:
        return "no bands", "–", "none"
    outside = sum(band.css == "bad" for band in verdicts.values())
    if outside:
        return f"{outside} of {len(verdicts)} numbers outside their bands", "✗", "bad"
    if len(verdicts) == 1:
        return "1 number inside its band", "✓", "good"
    return f"all {len(verdicts)} banded numbers inside", "✓", "good"


def _row(metric: Mapping[str, Any], band: Band | None) -> Row:
    name, value, n, _, floor, baseline, published = cells(metric)
    return Row(
        name=name,
        value=value,
        n=n,
        floor=floor,
        baseline=baseline,
        published="" if published == "–" else published,
        source=str((metric.get("published") or {}).get("source") or ""),
        definition=str(metric.get("definition") or ""),
        interval=_interval(metric),
        seeds=int(metric.get("seeds") or 0),
        band=band,
    )


def _interval(metric: Mapping[str, Any]) -> str:
    """Return the 68 % interval where value ± error does not say the same to a tenth of the error."""
    value, error, low, high = (metric.get(key) for key in ("value", "error", "low", "high"))
    if low is None and high is None:
        return ""
    if value is not None and error is not None and low is not None and high is not None:
        asymmetry = abs(high + low - 2 * value)
        if asymmetry < 0.2 * error:
            return ""
    return f"68 %: {_range(low, high)}"


def _range(low: float | None, high: float | None) -> str:
    if low is None or not math.isfinite(low):
        return f"at most {high:.4g}"
    if high is None or not math.isfinite(high):
        return f"at least {low:.4g}"
    return f"{low:.4g} to {high:.4g}".replace("-", "−")
