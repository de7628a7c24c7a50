"""Stale rows of a sweep are confirmed by running one of each method again: equal numbers show that nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hepml_nb.core import atomic_write, progress
from hepml_nb.runtime import sweep as sweeps

__all__ = ["confirm"]

_CLOCK = "second"
"""What a row measures with a clock has this in its name; all else has to be equal to the last digit."""


def confirm(sweep: sweeps.Spec | str | Path, axis: str = "method", entry: str | None = None) -> dict[str, list[str]]:
    """Run the quickest stale row of each value of `axis` again; where all its numbers come out equal, keep all of them.

    Code may change without a change of what it computes: a function moves, a new option has the old default. The rows
    of a confirmed value get the key of today's code; those of the others stay stale. Times do not have to be equal.
    `entry` as in `run_sweep`. Returns {value: names of the numbers that differ}, empty lists for what was confirmed.
    """
    spec = sweep if isinstance(sweep, sweeps.Spec) else sweeps.read_spec(sweep)
    spec = replace(spec, entry=entry) if entry else spec
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sweeps.rows(spec):
        if row["stale"]:
            groups.setdefault(str(row["point"].get(axis, "")), []).append(row)
    differing: dict[str, list[str]] = {}
    for value, group in progress(list(groups.items()), desc=f"{spec.name} again", unit=axis):
        first = min(group, key=lambda row: row["seconds"])
        again, _, error = sweeps._call(spec.entry, first["point"])
        differing[value] = [error] if error else list(_differences(first["row"], again))
    same = {value for value, names in differing.items() if not names}
    _renew(spec, {sweeps._point_name(row["point"]) for value in same for row in groups[value]})
    return differing


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if _CLOCK not in name and old.get(name) != new.get(name):
            yield name


def _renew(spec: sweeps.Spec, points: set[str]) -> None:
    """Give the latest rows of these points the key of today's code."""
    now = sweeps._base_key(spec)
    with sweeps._locked(spec.rows_path):
        latest = sweeps._latest(spec.rows_path)
        for name in points & set(latest):
            latest[name]["key"] = sweeps._key(now, latest[name]["point"])
        with atomic_write(spec.rows_path) as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in latest.values())
