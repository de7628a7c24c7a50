"""Recorded numbers as a table for a reader: value ± error, how many, the floor, the baseline, what was published."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from hepml_nb.core import Result

__all__ = ["cells", "html_table", "markdown_table"]

_HEADER = ("metric", "value ± error", "n", "trainings", "floor", "baseline", "published")
_ARROWS = {"higher": "↑", "lower": "↓", "target": "→"}
_MARKS = {"holds": "✔", "consistent": "≈", "reversed": "✘"}


def cells(metric: Mapping[str, Any]) -> list[str]:
    """Return a recorded metric's row of texts, in the order of the header."""
    published = metric.get("published")
    return [
        f"{metric['name']} {_ARROWS.get(metric.get('better', ''), '')}".strip(),
        _with_error(metric.get("value"), metric.get("error"), metric.get("n", 0)),
        _short(metric.get("n")),
        "–" if metric.get("seeds") == 0 else _short(metric.get("seeds")),
        _short(metric.get("floor")),
        _short(metric.get("baseline")),
        _with_error(published["value"], published["error"], 0) if published else "–",
    ]


def markdown_table(metrics: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the metrics as a Markdown table, the claims as lines below it."""
    lines = []
    if metrics:
        lines = ["| " + " | ".join(_HEADER) + " |", "|" + ":--|" + "--:|" * (len(_HEADER) - 1)]
        lines += ["| " + " | ".join(cells(metric)) + " |" for metric in metrics]
    for claim in claims:
        lines += ["", f"{_MARKS[claim['outcome']]} **{claim['outcome']}**: {claim['text']} ({_sigma(claim)})"]
    return "\n".join(lines)


def html_table(metrics: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the same as HTML, everything escaped."""
    parts = []
    if metrics:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in _HEADER)
        parts.append(f'<table class="hepml-metrics"><thead><tr>{head}</tr></thead><tbody>')
        parts += [_html_row(metric) for metric in metrics]
        parts.append("</tbody></table>")
    for claim in claims:
        outcome, text = claim["outcome"], html.escape(f"{claim['text']} ({_sigma(claim)})")
        parts.append(f'<p class="hepml-claim">{_MARKS[outcome]} <strong>{outcome}</strong>: {text}</p>')
    return "".join(parts)


def _html_row(metric: Mapping[str, Any]) -> str:
    title = html.escape(str(metric.get("definition") or ""), quote=True)
    name, *rest = (html.escape(cell) for cell in cells(metric))
    source = html.escape(str((metric.get("published") or {}).get("source", "")), quote=True)
    plain = "".join(f"<td>{cell}</td>" for cell in rest[:-1])
    return f'<tr><th scope="row" title="{title}">{name}</th>{plain}<td title="{source}">{rest[-1]}</td></tr>'


def _with_error(value: float | None, error: float | None, n: int) -> str:
    if value is None:
        return "–"
    return str(Result(value, error, n)) if error is not None else f"{value:.4g}"


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def _sigma(claim: Mapping[str, Any]) -> str:
    return "no error" if claim.get("sigma") is None else f"{claim['sigma']:+.1f} σ"
