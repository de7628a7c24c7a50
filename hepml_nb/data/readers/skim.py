"""Skims: Parquet files of records in one of our schemas, as `hepml-nb data add FILES --as KIND` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest
from hepml_nb.data.manifest import schema as named_schema
from hepml_nb.data.opening import parquet

__all__ = ["NUMBERED", "count", "read"]

NUMBERED = True
"""Event numbers are those of the user's files, whichever piece a record is in: they stay as they are."""

_NEEDED = ("pt", "eta", "phi", "deta", "dphi", "energy")
"""What each thing of a collection must have; other columns may be NaN, which is unknown."""


def count(path: Path, *, schema: str = "jets") -> int:
    """Return the number of records in a file; raise InputError for another layout."""
    with parquet(path) as file:
        return int(file.metadata.num_rows)


def read(path: Path, start: int, stop: int, *, label: int | None = None, schema: str = "jets") -> Any:
    """Return records [start, stop) with the columns of the schema that are there, in its types, and any others.

    `label` is given to records without one. Raises InputError for a file without any column of the schema, missing
    values, lists where numbers belong, or constituents and hits that are NaN.
    """
    about = named_schema(schema)
    with parquet(path) as file:
        names = file.schema_arrow.names
        if not set(names) & {*about.columns, *about.collections}:
            raise InputError(f"{path} has none of the columns of the schema {schema!r}"
                             f"{suggest(names[0] if names else '', about.columns)}")  # fmt: skip
        parts, first = [], 0
        for batch in file.iter_batches(20_000):
            last = first + len(batch)
            if first < stop and last > start:
                if any(map(_nulls, batch.columns)):
                    raise InputError(f"{path}: there are missing values (null); fill them or drop those records.")
                parts.append(ak.from_arrow(batch)[max(start - first, 0) : stop - first])
            first = last
    if not sum(map(len, parts)):
        raise InputError(f"{path} has {first} records; nothing lies between {start} and {stop}.")
    records = ak.concatenate(parts)
    records = ak.drop_none(records, axis=None)
    columns = {name: records[name] for name in records.fields}
    for name, column in about.columns.items():
        if name in columns:
            if columns[name].ndim != 1 + len(column.shape):
                raise InputError(f"{path}: column {name!r} has another shape than the schema {schema!r} says.")
            columns[name] = ak.values_astype(columns[name], np.dtype(column.dtype))
    for name, inner in about.collections.items():
        if name in columns:
            columns[name] = _things(path, name, columns[name], {key: one.dtype for key, one in inner.items()})
    if "label" in about.columns and label is not None:
        columns.setdefault("label", np.full(len(records), label, about.columns["label"].dtype))
    return ak.zip(columns, depth_limit=1)


def _nulls(column: Any) -> int:
    """Return how many values of an Arrow column, and of what is inside it, are missing."""
    import pyarrow as pa

    inner: list[Any] = []
    if pa.types.is_struct(column.type):
        inner = column.flatten()
    elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        inner = [column.flatten()]
    return int(column.null_count) + sum(map(_nulls, inner))


def _things(path: Path, name: str, things: Any, kinds: dict[str, str]) -> Any:
    if things.ndim != 2 or not things.fields:
        raise InputError(f"{path}: {name!r} is no list of records {{{', '.join(kinds)}}}.")
    columns = {key: ak.values_astype(things[key], np.dtype(kinds[key])) if key in kinds else things[key]
               for key in things.fields}  # fmt: skip
    for key, column in columns.items():
        if key not in _NEEDED:
            continue
        bad = ~np.isfinite(ak.to_numpy(ak.flatten(column, axis=None)))
        if bad.any():
            raise InputError(f"{path}: {int(bad.sum())} of the {name} have a {key} that is NaN or infinite.")
    return ak.zip(columns)
