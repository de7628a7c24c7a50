"""Long sweeps: a grid of points, one committed row per finished run, resumable after anything."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hepml_nb.core import (
    InputError,
    NotFound,
    Result,
    RunError,
    cache_dir,
    code_hash,
    content_hash,
    lock,
    notebooks_dir,
    progress,
    reached_code,
    suggest,
)
from hepml_nb.runtime.datasets import identity
from hepml_nb.runtime.methods import method_modules
from hepml_nb.runtime.provenance import revision, versions

__all__ = ["Spec", "SweepReport", "read_spec", "rows", "run_sweep", "sweeps"]

Point = dict[str, Any]
Entry = Callable[[Point], Mapping[str, Any]]


@dataclass(frozen=True)
class Spec:
    """A sweep: which function runs at which points; `minutes` is the planned time on two cores."""

    name: str
    title: str
    entry: str
    dataset: str
    profile: str
    points: tuple[Point, ...]
    minutes: float
    path: Path

    @property
    def rows_path(self) -> Path:
        """The committed rows, notebooks/results/<name>.long.jsonl."""
        return notebooks_dir() / "results" / f"{self.name}.{self.profile}.jsonl"


@dataclass
class SweepReport:
    """What a sweep did: points run now, finished before, finished with older code or data, and still to do."""

    done: int = 0
    skipped: int = 0
    stale: int = 0
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.done} run, {self.skipped} were there, {self.stale} of them stale, {self.left} left"
        return text + "".join(f"\nfailed: {point}: {error}" for point, error in self.failed.items())


def sweeps() -> list[str]:
    """Return the names of all sweeps, `tagging/size_curve`."""
    root = notebooks_dir() / "sweeps"
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def read_spec(sweep: str | Path) -> Spec:
    """Return a sweep given by name, unique prefix or file; raises NotFound, or InputError for a bad file."""
    path = _find(sweep)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not YAML: {error}") from error
    known: dict[str, Any] = dict.fromkeys(("title", "entry", "dataset", "profile"), str)
    known |= {"grid": dict | list, "minutes": int | float}
    raw = raw if isinstance(raw, dict) else {}
    if unknown := set(raw) - set(known):
        raise InputError(f"{path.name}: unknown key {sorted(unknown)[0]!r}{suggest(sorted(unknown)[0], known)}")
    if wrong := [name for name, kind in known.items() if not isinstance(raw.get(name), kind)]:
        raise InputError(
            f"{path.name}: {', '.join(wrong)} missing or of the wrong type; a sweep has {', '.join(known)}."
        )
    if not raw["entry"].startswith("hepml_nb."):
        raise InputError(
            f"{path.name}: entry {raw['entry']!r} must be a function of hepml_nb, 'hepml_nb.module:function'."
        )
    root = notebooks_dir() / "sweeps"
    name = path.relative_to(root).with_suffix("").as_posix() if path.is_relative_to(root) else path.stem
    settings = {key: raw[key] for key in ("title", "entry", "dataset", "profile")}
    return Spec(name=name, points=tuple(_points(raw["grid"], path.name)), minutes=raw["minutes"], path=path, **settings)


def rows(sweep: Spec | str | Path) -> list[dict[str, Any]]:
    """Return the finished rows, the latest of each point, in the order of the grid.

    sweep: a spec or its name (each row then says whether it is `stale`), or a .jsonl file. A last line torn by a
    crash is left out.
    """
    if not isinstance(sweep, Spec):
        if Path(sweep).suffix == ".jsonl":
            return list(_latest(Path(sweep)).values())
        sweep = read_spec(sweep)
    found, now = _latest(sweep.rows_path), _base_key(sweep)
    order = [_point_name(point) for point in sweep.points]
    return [
        {**found[name], "stale": found[name]["key"] != _key(now, found[name]["point"])}
        for name in order
        if name in found
    ]


def run_sweep(
    sweep: Spec | str | Path,
    *,
    limit: int | None = None,
    minutes: float | None = None,
    client: Any = None,
    rerun_stale: bool = False,
    entry: str | None = None,
    out: str | Path | None = None,
) -> SweepReport:
    """Run the points without a finished row, in order, appending each row as soon as its run has ended.

    limit: at most this many runs. minutes: start none that would end later, going by the longest so far.
    client: a Dask client that runs them; None: here, one after the other. rerun_stale: also those of older code or
    data. entry: another function "module:function", also from outside hepml_nb. out: another .jsonl file.
    Raises RunError after the sweep when points failed (the others are kept); Ctrl-C loses only the running point.
    """
    spec = sweep if isinstance(sweep, Spec) else read_spec(sweep)
    spec = replace(spec, entry=entry) if entry else spec
    target = Path(out) if out else spec.rows_path
    _resolve(spec.entry)  # a misspelt entry fails before anything runs
    now, finished = _base_key(spec), _latest(target)
    stale = {name for name, row in finished.items() if row["key"] != _key(now, row["point"])}
    names = {_point_name(point): point for point in spec.points}
    todo = [point for name, point in names.items() if name not in finished or (rerun_stale and name in stale)]
    report = SweepReport(skipped=len(names) - len(todo), stale=len(stale & set(names)))
    chosen = todo[:limit]
    longest = max((row["seconds"] for row in finished.values()), default=0.0)
    with progress(total=len(chosen), desc=spec.name, unit="run") as bar:
        for point, row, seconds, error in _results(spec.entry, chosen, client, _Budget(minutes, longest)):
            bar.update(1)
            if error:
                report.failed[_point_name(point)] = error
                continue
            _append(target, _row(spec, point, row, seconds, _key(now, point)))
            report.done += 1
    report.left = len(todo) - report.done
    if report.failed:
        raise RunError(f"{spec.name}: {len(report.failed)} of {len(chosen)} runs failed.\n{report}")
    return report


class _Budget:
    """Says whether one more run fits the time, going by the longest so far."""

    def __init__(self, minutes: float | None, longest: float) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes
        self.longest = longest

    def allows(self) -> bool:
        return self.end is None or time.monotonic() + self.longest <= self.end


def _results(
    entry: str, points: Sequence[Point], client: Any, budget: _Budget
) -> Iterator[tuple[Point, dict[str, Any], float, str]]:
    """Yield (point, row, seconds, error) as runs end; those that the budget does not allow are never started."""
    if client is not None:
        from dask.distributed import as_completed

        futures = {client.submit(_call, entry, point, pure=False, retries=0): point for point in points}
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            row, seconds, error = future.result() if future.status == "finished" else ({}, 0.0, str(future.exception()))
            yield futures[future], row, seconds, error
            if not budget.allows():
                client.cancel([one for one in futures if not one.done()])
                return
        return
    for point in points:
        if not budget.allows():
            return
        row, seconds, error = _call(entry, point)
        budget.longest = max(budget.longest, seconds)
        yield point, row, seconds, error


def _call(entry: str, point: Point) -> tuple[dict[str, Any], float, str]:
    """Run one point and return (row, seconds, error); one failing point must not end a sweep of hours."""
    start = time.monotonic()
    try:
        row = json.loads(json.dumps(dict(_resolve(entry)(dict(point))), default=_plain, allow_nan=False))
    except Exception as error:  # any: reported at the end, with all others
        return {}, time.monotonic() - start, f"{type(error).__name__}: {error}"
    return row, time.monotonic() - start, ""


def _plain(value: Any) -> Any:
    """Return what JSON can hold: a Result's fields, a numpy number."""
    if isinstance(value, Result):
        return value.to_dict()
    if hasattr(value, "item"):
        return value.item()
    raise InputError(f"a sweep's row holds {value!r}, a {type(value).__name__}; use numbers, texts, lists and Results.")


def _resolve(entry: str) -> Entry:
    module, _, name = entry.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotFound(
            f"sweep entry {entry!r} cannot be imported ({error}); expected 'package.module:function'."
        ) from error
    function: Entry = found
    return function


def _find(sweep: str | Path) -> Path:
    path = Path(sweep)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise NotFound(f"there is no sweep file {str(sweep)!r}; known sweeps: {', '.join(sweeps()) or 'none'}.")
        return path.resolve()
    known = sweeps()
    fitting = [str(sweep)] if str(sweep) in known else [name for name in known if name.startswith(str(sweep))]
    if len(fitting) != 1:
        raise NotFound(f"{str(sweep)!r} names {len(fitting) or 'no'} sweeps{suggest(str(sweep), known)}")
    return notebooks_dir() / "sweeps" / f"{fitting[0]}.yaml"


def _points(grid: Any, name: str) -> Iterator[Point]:
    """Yield the points of a grid {axis: values}, or of several given as a list."""
    for part in grid if isinstance(grid, list) else [grid]:
        if not isinstance(part, dict) or not part or not all(isinstance(axis, list) for axis in part.values()):
            raise InputError(f"{name}: grid must give a list of values for each axis, as in `seed: [0, 1, 2]`.")
        for values in itertools.product(*part.values()):
            yield dict(zip(part, values, strict=True))


def _base_key(spec: Spec) -> dict[str, Any]:
    """Return what every row of the sweep rests on besides its point and its code: entry and dataset."""
    return {"entry": spec.entry, "dataset": identity(spec.dataset, spec.profile)}


def _key(base: Mapping[str, Any], point: Point) -> str:
    """Return the hash of what a row rests on: the base, the point and the code of the entry and of a method named."""
    module = base["entry"].partition(":")[0]
    if not module.startswith("hepml_nb."):
        return content_hash({**base, "code": code_hash(module, "hepml_nb.learn", "hepml_nb.stats"), "point": point})
    topic = module.split(".")[1]
    roots = sorted({module} | method_modules(topic, point.values()))
    code = reached_code(roots, [f"hepml_nb.{name}" for name in sorted({topic, "learn", "stats"})])
    return content_hash({**base, "code": code, "point": point})


def _point_name(point: Point) -> str:
    return json.dumps(point, sort_keys=True)


def _row(spec: Spec, point: Point, row: Mapping[str, Any], seconds: float, key: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "sweep": spec.name,
        "key": key,
        "point": point,
        "row": row,
        "seconds": round(seconds, 2),
        "revision": revision(),
        "versions": versions(),
    }


def _latest(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last row of each point; lines that are no rows (torn by a crash) are left out."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            found[_point_name(row["point"])] = {**row, "seconds": float(row["seconds"]), "key": str(row["key"])}
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _locked(path: Path) -> AbstractContextManager[None]:
    """Hold the lock of a file of rows while it is written."""
    return lock(cache_dir() / "sweeps" / f"{content_hash(str(path.resolve()))}.lock")


def _append(path: Path, row: Mapping[str, Any]) -> None:
    """Append one line, whole and flushed; a torn line before it is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path), path.open("a+b") as stream:
        stream.seek(0, os.SEEK_END)
        torn = False
        if stream.tell() > 0:
            stream.seek(-1, os.SEEK_END)
            torn = stream.read(1) != b"\n"
        line = json.dumps(row, ensure_ascii=False) + "\n"
        stream.write((("\n" if torn else "") + line).encode())
        stream.flush()
        os.fsync(stream.fileno())
