"""The numbers of a figure, as a table that a notebook shows by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from hepml_nb.core import InputError, Result

__all__ = ["ResultsTable", "results_table"]

_ARROWS = {"higher": "↑", "lower": "↓", "target": "→"}


@dataclass(frozen=True)
class ResultsTable:
    """Rows of text under a header; shows itself as HTML in a notebook and as Markdown elsewhere."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return self._repr_markdown_()

    def _repr_markdown_(self) -> str:
        lines = [self.header, (":--", *("--:" for _ in self.header[1:])), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = ""
        for name, *cells in self.rows:
            plain = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            body += f'<tr><th scope="row">{escape(name)}</th>{plain}</tr>'
        return f'<table class="hepml-results"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def results_table(results: Mapping[str, Result] | Mapping[str, Mapping[str, Result]]) -> ResultsTable:
    """Return a table of results: one line per name with error, size, floor and baseline, or methods against metrics.

    results: {name: Result}, or {method: {metric: Result}}, which makes a column per metric with its arrow (↑: higher is
    better). Raises InputError when empty.
    """
    if not results:
        raise InputError("results is empty; expected {name: Result} or {method: {metric: Result}}.")
    flat = {name: result for name, result in results.items() if isinstance(result, Result)}
    if len(flat) == len(results):
        header: tuple[str, ...] = ("metric", "value ± error", "n", "trainings", "floor", "baseline")
        return ResultsTable(header, tuple(_line(name, result) for name, result in flat.items()))
    nested = {name: dict(found) for name, found in results.items() if isinstance(found, Mapping)}
    if len(nested) != len(results):
        raise InputError("results mixes Result and mappings; expected {name: Result} or {method: {metric: Result}}.")
    metrics = {metric: result for found in nested.values() for metric, result in found.items()}
    header = ("method", *(f"{metric} {_ARROWS[result.better]}" for metric, result in metrics.items()))
    rows = ((name, *(str(found.get(metric, "–")) for metric in metrics)) for name, found in nested.items())
    return ResultsTable(header, tuple(rows))


def _line(name: str, result: Result) -> tuple[str, ...]:
    floor, baseline = ("–" if number is None else f"{number:.4g}" for number in (result.floor, result.baseline))
    trainings = "–" if result.seeds == 0 else str(result.seeds)
    return f"{name} {_ARROWS[result.better]}", str(result), f"{result.n:,}", trainings, floor, baseline
