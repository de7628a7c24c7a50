"""The scoreboard: committed tutorial and long results, method against figure of merit, stale ones marked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepml_nb.core import HepmlError, Result
from hepml_nb.runtime.notebooks import discover, info
from hepml_nb.runtime.report_numbers import ClaimRow, claim_rows
from hepml_nb.runtime.results import read_sidecar, staleness
from hepml_nb.runtime.sweep import read_spec, rows, sweeps
from hepml_nb.runtime.tables import cells

__all__ = ["Board", "Labels", "Score", "boards", "merit_title"]

_MERITS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "rejection": "1/εB",
    "jets_per_s": "jets/s",
}
_ARROWS = {"higher": "↑", "lower": "↓"}


class Labels(tuple[str, ...]):
    """What a row is called: the method, then the sweep's other axes; as text "pfn, 30,000"."""

    __slots__ = ()

    def __str__(self) -> str:
        return ", ".join(self)


@dataclass(frozen=True)
class Score:
    """One cell of a board, as texts."""

    value: str
    published: str = ""
    source: str = ""
    note: str = ""


@dataclass
class Board:
    """One committed result or sweep: `rows` are (labels, one Score or None for each of `merits`).

    axes: what the labels are, the method first. note: what holds for every number.
    """

    title: str
    notebook: str
    topic: str
    profile: str
    merits: list[str]
    rows: list[tuple[Labels, list[Score | None]]]
    axes: Labels = Labels(("method",))  # noqa: RUF009 - immutable
    stale: bool = False
    reasons: str = ""
    note: str = ""
    claims: list[ClaimRow] = field(default_factory=list)
    href: str | None = None


def boards() -> list[Board]:
    """Return the boards of all committed results, by topic, sweeps after the notebooks; [] where nothing is committed.

    A file that cannot be read gives a board that says so: one damaged file must not hide the others.
    """
    each = [_of_sidecar(one) for one in staleness()] + [_of_sweep(name) for name in sweeps()]
    found = [board for board in each if board is not None]
    return sorted(found, key=lambda board: (board.topic, board.profile == "long", board.notebook))


def merit_title(name: str, better: str = "") -> str:
    """Return the heading of a figure of merit: "rejection.eff30" gives "1/εB at εS = 0.3 ↑"."""
    first, _, place = name.partition(".")
    words = _MERITS.get(first, first.replace("_", " "))
    if place.startswith("eff") and place[3:].isdigit():
        words += f" at εS = {int(place[3:]) / 10 ** len(place[3:]):.3g}"
    elif place:
        words += f" ({place.replace('_', ' ')})"
    return f"{words} {_ARROWS.get(better, '')}".strip()


def _of_sidecar(state: Any) -> Board | None:
    try:
        sidecar = read_sidecar(state.path)
    except HepmlError as error:
        return Board(state.notebook, state.notebook, "", state.profile, [], [], stale=True, reasons=str(error))
    title = info(state.notebook).title if state.notebook in discover() else state.notebook
    if not sidecar["metrics"]:
        return None
    merits, table = _pivot(
        (Labels((method,)), merit, str(metric.get("better", "")), _score(metric))
        for metric in sidecar["metrics"]
        for method, merit in [_split(metric["name"])]
    )
    if sum(score is None for _, scores in table for score in scores) > 0.4 * len(merits) * len(table):
        merits, table = _as_list(merits, table)
    return Board(
        title=title,
        notebook=state.notebook,
        topic=state.notebook.partition("/")[0],
        profile=state.profile,
        merits=merits,
        rows=table,
        axes=Labels(("method", "figure of merit")[: len(table[0][0])]),
        stale=state.stale,
        reasons=", ".join(state.reasons),
        claims=claim_rows(sidecar.get("claims", ())),
    )


def _of_sweep(name: str) -> Board | None:
    """Return a sweep's board: points that differ in the seed alone are joined into one row."""
    try:
        spec = read_spec(name)
        found = rows(spec)
    except HepmlError as error:
        return Board(name, name, name.partition("/")[0], "long", [], [], stale=True, reasons=str(error))
    if not found:
        return None
    axes = tuple(axis for axis in dict.fromkeys(axis for row in found for axis in row["point"]) if axis != "seed")
    groups: dict[Labels, list[Mapping[str, Any]]] = {}
    for row in found:
        groups.setdefault(Labels(_label(row["point"].get(axis)) for axis in axes), []).append(row.get("row", {}))
    merits, table = _pivot(
        (point, metric, better, score) for point, group in groups.items() for metric, better, score in _joined(group)
    )
    stale = sum(bool(row.get("stale")) for row in found)
    left = len(spec.points) - len(found)
    notes = [f"{stale} of {len(found)} rows rest on older code or data"] if stale else []
    notes += [f"{left} of {len(spec.points)} points still to run"] if left else []
    same = {score.note for _, scores in table for score in scores if score is not None}
    return Board(
        title=spec.title,
        notebook=name,
        topic=name.partition("/")[0],
        profile=spec.profile,
        merits=merits,
        rows=table,
        axes=Labels(axis.replace("_", " ") for axis in axes),
        stale=bool(stale),
        reasons="; ".join(notes),
        note=same.pop() if len(same) == 1 else "",
    )


def _label(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _joined(group: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str, Score]]:
    """Yield (metric, better, score) of the trainings of one point.

    The trainings share their test events, so the statistical error does not fall with their number; the spread
    between trainings does.
    """
    numbers = [row.get("metrics", row) for row in group]
    for name, first in numbers[0].items():
        if not isinstance(first, Mapping) or "value" not in first:
            continue
        results = [row[name] for row in numbers if isinstance(row.get(name), Mapping)]
        values = [one["value"] for one in results if one["value"] is not None]
        if not values:
            continue
        mean = sum(values) / len(values)
        spread = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
        stated = sum(one.get("error") or 0.0 for one in results) / len(results)
        joined = Result(mean, math.sqrt(stated**2 + spread / len(values)), int(first.get("n") or 0))
        note = f"mean of {len(values)} trainings" if len(values) > 1 else ""
        yield name, str(first.get("better", "")), Score(str(joined), note=note)


def _pivot(
    entries: Iterable[tuple[Labels, str, str, Score]],
) -> tuple[list[str], list[tuple[Labels, list[Score | None]]]]:
    """Turn (labels, metric, better, score) into column titles and rows, both in order of appearance."""
    columns: dict[str, str] = {}
    table: dict[Labels, dict[str, Score]] = {}
    for labels, metric, better, score in entries:
        columns.setdefault(metric, merit_title(metric, better))
        table.setdefault(labels, {})[metric] = score
    return list(columns.values()), [(labels, [row.get(name) for name in columns]) for labels, row in table.items()]


def _as_list(
    merits: Sequence[str], table: Sequence[tuple[Labels, list[Score | None]]]
) -> tuple[list[str], list[tuple[Labels, list[Score | None]]]]:
    """Where methods share few figures of merit, one line for each number is read more easily than a table of gaps."""
    filled: list[tuple[Labels, list[Score | None]]] = [
        (Labels((*labels, merit)), [score])
        for labels, scores in table
        for merit, score in zip(merits, scores, strict=True)
        if score is not None
    ]
    return ["value ± error"], filled


def _split(name: str) -> tuple[str, str]:
    method, _, metric = name.partition(".")
    return method, metric or name


def _score(metric: Mapping[str, Any]) -> Score:
    _, value, *_, published = cells(metric)
    source = str((metric.get("published") or {}).get("source") or "")
    return Score(value, "" if published == "–" else published, source)
