"""A user's own files become a dataset: mapped to a schema, split, written as a skim beside its manifest."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import yaml

from hepml_nb.columnar.inspection import Survey, check_columns, survey
from hepml_nb.columnar.mapping import Plan, Take, parse
from hepml_nb.columnar.proposing import propose
from hepml_nb.columnar.sourcing import Batch, batches, class_of
from hepml_nb.core import InputError, atomic_write, content_hash, manifests_dir, progress
from hepml_nb.data import Manifest, disk, manifest
from hepml_nb.data.fetching import folder
from hepml_nb.data.manifest import SPLITS, places, user_manifests
from hepml_nb.data.parquet import parquet_bytes
from hepml_nb.data.public import forget
from hepml_nb.data.user import keep_manifest

__all__ = ["Adopted", "adopt", "apply", "lacking_of", "mapping_of", "split_of"]

_PIECE = 20_000
"""Records of a file of the skim: what `data.load` converts at a time."""
_SHARES = {
    "smoke": {"train": 2000, "val": 500, "test": 5000},
    "tutorial": {"train": 20_000, "val": 2500, "test": 50_000},
}
_TOPICS = {"jets": "tagging", "showers": "calo", "dijets": "anomaly", "zjets": "unfolding", "nanoaod": "start"}


@dataclass(frozen=True)
class Adopted:
    """A new dataset: its manifest, {split: {class: records}}, columns that it lacks, and what was left out and why.

    `bad` says of each file that could not be read, wholly or in part, why.
    """

    manifest: Manifest
    counts: Mapping[str, Mapping[str, int]]
    lacking: tuple[str, ...]
    dropped: Mapping[str, int]
    negative: float
    bad: Mapping[str, str] = field(default_factory=dict)


def adopt(
    files: Sequence[str | Path],
    kind: str,
    name: str,
    *,
    tree: str | None = None,
    mapping: str | None = None,
    radius: float | None = None,
    replace: bool = False,
    skip_bad: bool = False,
    agree: Callable[[Survey, Plan, list[str]], bool] = lambda seen, plan, notes: True,
) -> Adopted | None:
    """Make a dataset called `name` of files, which `data.load(name)` then gives; return what it holds.

    `kind` is "jets", "events", "showers" or a schema; `mapping` a text as `Plan.text` writes it, proposed where None.
    `agree` sees the files, the mapping and what it rests on before anything is written; None is returned where it says
    no. The dataset appears whole or not at all, and memory does not grow with the files. With `skip_bad`, files that
    cannot be read are left out, wholly or in part, and told in `bad` and among the dataset's traps. Raises InputError
    for a name that is taken (unless `replace`), a mapping that does not fit and for NaN, NotFound for missing files,
    trees and columns.
    """
    _free(name, replace)
    seen = survey(files, tree, skip_bad=skip_bad)
    plan, notes = (parse(mapping), []) if mapping is not None else propose(seen, kind, radius)
    _check(seen, plan, skip_bad)
    if not agree(seen, plan, notes):
        return None
    where = user_manifests() / f"{name}.yaml"
    _free(name, replace)
    target = folder(Manifest(**_minimal(name, plan)))
    with disk.held(target), disk.writing(target):
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".skim.", suffix=".part") as aside:
            skim, bad = _Skim(Path(aside) / "pieces", plan), dict(seen.bad)
            found = batches(seen, plan, bad=bad if skip_bad else None)
            for batch in progress(found, desc=f"reading {name}", unit="chunk"):
                skim.add(batch, seen.files.index(batch.path) if len(seen.files) > 1 else None)
            skim.finish(list(bad.values()))
            (skim.folder / "mapping.yaml").write_text(plan.text(), encoding="utf-8")
            (skim.folder / "lacking.json").write_text(json.dumps(skim.lacking()), encoding="utf-8")
            inside = content_hash([piece["sha256"] for piece in skim.files])
            shutil.rmtree(target / inside, ignore_errors=True)
            os.replace(skim.folder, target / inside)
        about = _manifest(name, seen, plan, skim, inside)
        about["traps"] += [f"damaged, or in part: {what}" for what in bad.values()]
        keep_manifest(yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=110).encode(), str(where))
        forget(name)
        for old in target.iterdir():  # only now does nothing refer to it
            if old.name != inside and old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
    return Adopted(manifest(name), skim.counts, skim.lacking(), skim.dropped, skim.negative(), bad)


def mapping_of(name: str) -> str:
    """Return the mapping that an adopted dataset was made with; raise InputError for another dataset."""
    path = _beside(name, "mapping.yaml")
    if path is None:
        raise InputError(f"{name!r} was not made of files of yours; there is no mapping. Give one by --mapping.")
    return path.read_text(encoding="utf-8")


def lacking_of(name: str) -> tuple[str, ...]:
    """Return the columns and collections of its schema that an adopted dataset lacks; none for another dataset."""
    path = _beside(name, "lacking.json")
    return tuple(json.loads(path.read_text(encoding="utf-8"))) if path else ()


def _beside(name: str, file: str) -> Path | None:
    """Return a file that stands beside the pieces of an adopted dataset, None where there is none."""
    about = manifest(name)
    if about.public is None or about.public.reader != "skim":
        return None
    path = folder(about) / Path(about.public.files[0].name).parent / file
    return path if path.is_file() else None


def apply(
    score: Callable[[Any], Any], files: Sequence[str | Path], out: str | Path, mapping: str, *, tree: str | None = None
) -> list[Path]:
    """Write the scores of every record of files beside what identifies it; return the Parquet files, one per file.

    `score` takes records in the schema and gives one number each. Columns are `row` (of the file, from 0), `event`,
    and where there are any `run`, `luminosityBlock`, `rank`, `pt`, `label` and `weight`, and `score`. All files appear
    when all are done, or none. Raises InputError for a folder that holds other things, and as `adopt` does.
    """
    seen, plan, target = survey(files, tree), parse(mapping), Path(out).expanduser()
    _check(seen, plan, False)
    names = {path: f"{Path(path).stem}.scores.parquet" for path in seen.files}
    if len(set(names.values())) < len(names):
        names = {path: f"{Path(path).stem}-{content_hash(path, 6)}.scores.parquet" for path in names}
    if target.exists() and (
        not target.is_dir() or any(not p.name.endswith(".scores.parquet") for p in target.iterdir())
    ):
        raise InputError(f"{target} holds other things; scores need a folder of their own.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".part") as aside:
        writers: dict[str, Any] = {}
        try:
            for batch in progress(batches(seen, plan), desc="scoring", unit="chunk"):
                _write_scores(writers, Path(aside) / names[batch.path], batch, score)
        finally:
            for writer in writers.values():
                writer.close()
        target.mkdir(exist_ok=True)
        made = sorted(Path(aside).iterdir())
        for path in made:
            os.replace(path, target / path.name)
    if not made:
        raise InputError(f"{seen.files[0]}: no record of it passed the selection of the mapping; there are no scores.")
    return [target / path.name for path in made]


def _write_scores(writers: dict[str, Any], path: Path, batch: Batch, score: Callable[[Any], Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not len(batch.records):
        return
    kept = [name for name in ("event", "rank", "pt", "label", "weight") if name in batch.records.fields]
    columns = {**batch.ids, **{name: ak.to_numpy(batch.records[name]) for name in kept}}
    columns["score"] = np.asarray(score(batch.records), dtype=np.float64)
    made = pa.table(columns)
    if path.name not in writers:
        writers[path.name] = pq.ParquetWriter(path, made.schema)
    writers[path.name].write_table(made)


def split_of(numbers: Any, splits: Mapping[str, float]) -> np.ndarray:
    """Return the split of each event number as a place in `splits`, or their length for none of them.

    It hangs on the number only (SplitMix64, doi:10.1145/2714064.2660195), so that jets of an event stay together and
    more files change nothing for those that were there.
    """
    mixed = np.asarray(numbers).astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    share = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    edges = np.cumsum(list(splits.values()))
    edges[-1] = 1.0 if abs(edges[-1] - 1) < 1e-9 else edges[-1]
    return np.asarray(np.searchsorted(edges, share, side="right"))


@dataclass
class _Skim:
    """Pieces that are being written: one row of files per split and class, each of at most so many records."""

    folder: Path
    plan: Plan
    files: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    weights: tuple[int, int] = (0, 0)
    waiting: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def add(self, batch: Batch, number: int | None = None) -> None:
        """Divide the records of a batch, of file `number` where there are several; write what fills a file."""
        for reason, n in batch.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        records = batch.records
        if number is not None:
            records = ak.with_field(records, np.full(len(records), number, np.int32), "file")
        for name in records.fields:
            column = records[name]
            if column.ndim == 1:
                values = ak.to_numpy(column)
                self.columns[name] = str(values.dtype)
                if values.dtype.kind != "f" or np.isfinite(values).any():
                    self.told.add(name)
            elif len(column):
                self.told.add(name)
        if "weight" in records.fields:
            negative = int((ak.to_numpy(records.weight) < 0).sum())
            self.weights = (self.weights[0] + negative, self.weights[1] + len(records))
        for split, of_split in self._by_split(batch, records):
            for stream, some in self._by_class(of_split):
                self._put(split, stream, some)

    def _by_split(self, batch: Batch, records: Any) -> Iterator[tuple[str, Any]]:
        splits = self.plan.splits
        if any(isinstance(value, str) for value in splits.values()):
            yield _file_split(batch.path, splits), records
            return
        numbers = records.event if "event" in records.fields else batch.ids["row"]
        place = split_of(ak.to_numpy(numbers), splits)
        for i, split in enumerate(splits):
            yield split, records[place == i]

    def _by_class(self, records: Any) -> Iterator[tuple[str, Any]]:
        known = self.plan.label.numbers()
        if not known:
            yield "", records
            return
        label = ak.to_numpy(records.label)
        for stream, number in known.items():
            yield stream, records[label == number]

    def _put(self, split: str, stream: str, records: Any) -> None:
        if not len(records):
            return
        at = self.counts.setdefault(split, {})
        at[stream or "all"] = at.get(stream or "all", 0) + len(records)
        waiting = self.waiting.setdefault((split, stream), [])
        waiting.append(records)
        while sum(map(len, waiting)) >= _PIECE:
            together = ak.concatenate(waiting)
            waiting[:] = [together[_PIECE:]]
            self._write(split, stream, together[:_PIECE])

    def _write(self, split: str, stream: str, records: Any) -> None:
        number = sum((one["split"], one["stream"]) == (split, stream) for one in self.files)
        content = parquet_bytes(ak.to_packed(records))
        stem = "".join(letter if letter.isalnum() else "_" for letter in stream)
        path = self.folder / f"{split}{f'.{stem}' if stem else ''}.{number:05d}.parquet"
        with atomic_write(path, "wb") as stream_out:
            stream_out.write(content)
        self.files.append({"name": path.name, "url": "", "split": split, "stream": stream, "bytes": len(content),
                           "sha256": disk.sha256(content)})  # fmt: skip

    def finish(self, bad: Sequence[str]) -> None:
        """Write what is left; raise InputError where there is nothing at all, with what is `bad` in the files."""
        for (split, stream), waiting in self.waiting.items():
            if sum(map(len, waiting)):
                self._write(split, stream, ak.concatenate(waiting))
        if not self.files:
            why = "; ".join([*(f"{n} {reason}" for reason, n in self.dropped.items()), *bad]).rstrip(".")
            raise InputError(f"no record is left ({why or 'all splits are empty'}); nothing was added.")
        order = {split: i for i, split in enumerate(SPLITS)}
        self.files.sort(key=lambda one: (order[one["split"]], one["name"]))

    def lacking(self) -> tuple[str, ...]:
        """Return the columns and collections of the schema that are not there, or NaN throughout."""
        about = self.plan.about
        wanted = [*about.columns, *about.collections]
        unlabelled = [] if self.plan.label.numbers() or "label" not in about.columns else ["label"]
        return (*(name for name in wanted if name not in self.told), *unlabelled)

    def negative(self) -> float:
        """Return the share of negative weights."""
        return self.weights[0] / max(self.weights[1], 1)


def _file_split(path: str, splits: Mapping[str, str]) -> str:
    for split, pattern in splits.items():
        if fnmatch.fnmatch(Path(path).name.lower(), pattern.lower()):
            return split
    raise InputError(f"{path}: the mapping puts it in no split; its name fits none of {', '.join(splits.values())}.")


def _free(name: str, replace: bool) -> None:
    """Raise InputError for a name that is taken."""
    if (manifests_dir() / f"{name}.yaml").exists():
        raise InputError(f"{name!r} is the name of a dataset that ships; choose another.")
    if name in places() and not replace:
        raise InputError(f"there is a dataset {name!r} of yours already; choose another name, or give --replace.")


def _check(seen: Survey, plan: Plan, skip_bad: bool) -> None:
    """Raise InputError or NotFound where a mapping cannot be right, before anything is read.

    With `skip_bad` a file without the columns is a bad one, which its reading tells.
    """
    if seen.layout == "flat" and plan.layout == "flat" and not skip_bad:
        check_columns(seen, plan.needed())
    for path in seen.files:
        class_of(path, plan)
        if any(isinstance(value, str) for value in plan.splits.values()):
            _file_split(path, plan.splits)


def _minimal(name: str, plan: Plan) -> dict[str, Any]:
    """Return what is known of a manifest before there is data; its making checks the name."""
    from hepml_nb.data.manifest import File, Public

    held = Public("skim", [File("none", "", "train")])
    return {"name": name, "title": name, "topic": _TOPICS.get(plan.schema, "start"), "licence": "", "citation": "",
            "about": "", "schema": plan.schema, "profiles": {}, "classes": plan.label.numbers(),
            "public": held}  # fmt: skip


def _manifest(name: str, seen: Survey, plan: Plan, skim: _Skim, inside: str) -> dict[str, Any]:
    sources = ", ".join(Path(path).name for path in seen.files[:5]) + (" ..." if len(seen.files) > 5 else "")
    rules = ", ".join(f"{split} {value}" for split, value in plan.splits.items())
    drawn = "by file name" if isinstance(next(iter(plan.splits.values())), str) else "by a hash of the event's number"
    about = f"Made of {len(seen.files)} file{'s' * (len(seen.files) > 1)} ({seen.format}, {seen.layout}): {sources}. "
    about += f"Splits {drawn}: {rules}."
    if plan.schema == "jets":
        about += f" R = {plan.radius:g}."
    traps = [f"left out: {n} {reason}" for reason, n in skim.dropped.items()]
    if lacking := skim.lacking():
        traps.append(f"not there, or NaN: {', '.join(lacking)}")
    if skim.negative():
        traps.append(f"{skim.negative():.2%} of the weights are negative")
    if len(seen.files) > 1 and "event" in plan.about.columns:
        traps.append("event numbers are those of the files, where two may have the same; `file` tells them apart")
        traps.append("small profiles take their records from the first files")
    whole = skim.counts
    profiles = {profile: {split: {stream: min(n, caps[split]) for stream, n in row.items()}
                          for split, row in whole.items()} for profile, caps in _SHARES.items()}  # fmt: skip
    given = {"file": Take(f"the list of files: {', '.join(map(str, seen.files))}"), "weight": plan.weight, **plan.extra}
    meanings = {column: f"from {take.column}" for column, take in given.items() if take}
    extra = {column: {"dtype": kind, "meaning": meanings.get(column, "event weight")}
             for column, kind in skim.columns.items() if column not in plan.about.columns}  # fmt: skip
    files = [{key: value for key, value in {**one, "name": f"{inside}/{one['name']}"}.items() if value != "" or
              key == "url"} for one in skim.files]  # fmt: skip
    return {
        **{key: value for key, value in _minimal(name, plan).items() if key != "public"},
        "title": f"{sum(sum(row.values()) for row in whole.values()):,} {plan.schema} of files of your own",
        "licence": "not stated (files of the user)",
        "citation": "none",
        "about": about,
        "columns": extra,
        "public": {"reader": "skim", "options": {"schema": plan.schema}, "files": files},
        "profiles": {**profiles, "full": whole, "long": {split: dict(row) for split, row in whole.items()}},
        "traps": traps,
    }
