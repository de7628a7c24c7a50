"""Published results, each found by "table:row:column", so that no notebook quotes a number from memory."""

from __future__ import annotations

import csv
from functools import cache
from typing import Any, NamedTuple

import yaml

from hepml_nb.core import InputError, NotFound, manifests_dir, suggest

__all__ = ["Published", "published", "published_tables"]

_ERRORS = ("_err", "_std", "_std_over_observations")


class Published(NamedTuple):
    """A published number, its error (None where none was given) and where it stands."""

    value: float
    error: float | None
    source: str


def published(reference: str) -> Published:
    """Return the published number that `reference` = "table:row:column" names, e.g. "top_tagging:ParticleNet:auc".

    A row with several keys is written with slashes: "sbibm_c2st:two_moons/10000/NPE:c2st_mean". Raises InputError for a
    malformed reference or an empty cell, and NotFound with the nearest name for an unknown table, row or column.
    """
    parts = reference.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"published reference {reference!r} is malformed; expected 'table:row:column'.")
    table, row, column = parts
    about, rows = _table(table)
    if row not in rows:
        raise NotFound(f"table {table!r} has no row {row!r}{suggest(row, rows)}")
    cells = rows[row]
    numbers = [name for name in cells if name not in about["keys"] and name not in ("source", "note")]
    values = [name for name in numbers if not name.endswith(_ERRORS)]
    if column not in values:
        raise NotFound(f"table {table!r} has no column {column!r}{suggest(column, values)}")
    if not cells[column]:
        given = ", ".join(name for name in values if cells[name])
        raise InputError(f"{reference!r}: no value was published there; this row gives {given}.")
    stem = column.removesuffix("_mean")
    error = next((cells[stem + tail] for tail in _ERRORS if cells.get(stem + tail)), None)
    return Published(float(cells[column]), None if error is None else float(error), _source(about, rows, row))


def published_tables() -> dict[str, list[str]]:
    """Return the names of all tables of published results with the keys of their rows."""
    return {name: list(_table(name)[1]) for name in _index()}


@cache
def _index() -> dict[str, Any]:
    text = (manifests_dir() / "published" / "tables.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


@cache
def _table(name: str) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    index = _index()
    if name not in index:
        raise NotFound(f"there is no table of published results {name!r}{suggest(name, index)}")
    about = dict(index[name])
    with (manifests_dir() / "published" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        rows = {"/".join(row[key] for key in about["keys"]): row for row in csv.DictReader(stream)}
    return about, rows


def _source(about: dict[str, Any], rows: dict[str, dict[str, str]], row: str) -> str:
    """Return the row's source; "idem" points to the nearest row above that has one."""
    found = about.get("source", "")
    for name, cells in rows.items():
        found = cells["source"] if cells.get("source", "idem") != "idem" else found
        if name == row:
            break
    return str(found)
