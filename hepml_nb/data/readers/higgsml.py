"""The public set of the HiggsML uncertainty challenge (arXiv:2410.02867): one Parquet file in a zip.

Columns are the primary features PRI_*, the derived ones DER_*, weights, detailed_labels (htautau, ztautau, ttbar,
diboson) and labels (1 for the signal). The derived features are computed again from the primary ones, so that public
and simulated data follow one definition.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.data.opening import parquet

__all__ = ["count", "read"]


def count(path: Path) -> int:
    """Return the number of events in a file; raise InputError for a file that is no Parquet."""
    with parquet(path) as file:
        return int(file.metadata.num_rows)


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return events [start, stop) in the schema higgsml; only the row groups that hold them are read.

    Raises InputError for a column that lacks, an unknown class, NaN in a feature or weight, or an empty range.
    """
    from hepml_nb.simulate.higgsml import CLASSES, PRIMARY, table

    needed = [*PRIMARY, "weights", "detailed_labels"]
    with parquet(path) as file:
        lacking = [name for name in needed if name not in file.schema_arrow.names]
        if lacking:
            raise InputError(f"{path}: no column {lacking[0]!r}; expected PRI_*, weights and detailed_labels.")
        rows = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        edges = np.cumsum([0, *rows])
        stop = min(stop, int(edges[-1]))
        groups = [i for i in range(len(rows)) if edges[i] < stop and edges[i + 1] > start]
        if start >= stop or not groups:
            raise InputError(f"{path} has {edges[-1]} events; nothing lies between {start} and {stop}.")
        part = file.read_row_groups(groups, columns=needed)
        part = part.slice(start - int(edges[groups[0]]), stop - start)
    columns = {name: np.asarray(part[name].to_numpy()) for name in needed}
    for name in (*PRIMARY, "weights"):
        if not np.issubdtype(columns[name].dtype, np.number):
            raise InputError(f"{path}: column {name!r} is {columns[name].dtype}; expected numbers.")
        bad = ~np.isfinite(columns[name].astype(np.float64))
        if bad.any():
            raise InputError(f"{path}: row {start + int(np.argmax(bad))} has no finite {name}.")
    names = columns["detailed_labels"].astype(str)
    unknown = sorted(set(names) - set(CLASSES))
    if unknown:
        raise InputError(f"{path}: detailed_labels has {str(unknown[0])!r}; expected {', '.join(CLASSES)}.")
    labels = np.zeros(len(names), np.int8)
    for name, number in CLASSES.items():
        labels[names == name] = number
    return table(columns, weights=columns["weights"].astype(np.float32), label=labels, event=np.arange(start, stop))
