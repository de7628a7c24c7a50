"""Reference posteriors of the benchmark of simulation-based inference (sbibm, arXiv:2101.04653): CSV files in a wheel.

A folder num_observation_<i> has observation.csv (data_1 ...; one row), true_parameters.csv (parameter_1 ...; one row)
and reference_posterior_samples.csv.bz2 (parameter_1 ...; 10,000 rows). Some tasks name their parameters in LaTeX
instead. Records are the true parameters and then the samples, each with the data of its observation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, manifests_dir

__all__ = ["count", "read", "reference"]

_SAMPLES, _TRUTH, _DATA = "reference_posterior_samples.csv.bz2", "true_parameters.csv", "observation.csv"


def count(path: Path) -> int:
    """Return the number of records: of the file of samples one more than it has, of those beside it none."""
    if Path(path).name != _SAMPLES:
        return 0
    return len(_table(Path(path), "parameter")) + 1


def read(path: Path, start: int, stop: int, *, label: int | None = None) -> Any:
    """Return records [start, stop) of an observation in the schema sbibm: the truth first, then posterior samples.

    Raises NotFound where the files beside it are missing, and InputError for another layout, a number that is not
    finite, or an empty range.
    """
    path = Path(path)
    found = re.fullmatch(r"num_observation_(\d+)", path.parent.name)
    if path.name != _SAMPLES or found is None:
        raise InputError(f"{path} is not {_SAMPLES} in a folder num_observation_<i>; is it the wheel of sbibm?")
    for beside in (_TRUTH, _DATA):
        if not (path.parent / beside).is_file():
            raise NotFound(f"{path.parent} has no {beside}, which belongs to {_SAMPLES}.")
    samples, truth = _table(path, "parameter"), _table(path.parent / _TRUTH, "parameter")
    data = _table(path.parent / _DATA, "data")
    if len(truth) != 1 or len(data) != 1 or truth.shape[1] != samples.shape[1]:
        raise InputError(
            f"{path.parent}: {len(data)} rows of data, {len(truth)} of {truth.shape[1]} true parameters and samples of "
            f"{samples.shape[1]}; expected one row of each and as many true parameters as sampled ones."
        )
    theta = np.concatenate([truth, samples])
    number = int(found.group(1))
    rows = np.arange(len(theta))[start:stop]
    if not len(rows):
        raise InputError(f"{path} has {len(theta)} records; nothing lies between {start} and {stop}.")
    columns = {
        "theta": theta[rows],
        "x": np.repeat(data, len(rows), axis=0),
        "event": number * 10**6 + rows,
        "observation": np.full(len(rows), number, np.int8),
        "kind": np.where(rows == 0, 1, 2).astype(np.int8),
    }
    return ak.zip({name: ak.Array(values) for name, values in columns.items()}, depth_limit=1)


def _table(path: Path, what: str) -> np.ndarray:
    """Return a file whose columns are `what`_1, `what`_2 ..., as (rows, columns)."""
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no CSV file that can be read: {error}") from error
    expected = [f"{what}_{i + 1}" for i in range(table.shape[1])]
    symbols = what == "parameter" and all(re.fullmatch(r"\$.+\$", str(name)) for name in table.columns)
    if not (list(table.columns) == expected or symbols) or not len(table):
        given = ", ".join(map(str, table.columns[:3]))
        raise InputError(f"{path}: {len(table)} rows of columns {given} ...; expected rows of {what}_1, {what}_2 ...")
    try:
        values = table.to_numpy(np.float32)
    except ValueError as error:
        raise InputError(f"{path} holds something that is no number: {error}") from error
    if not np.isfinite(values).all():
        raise InputError(f"{path}: row {int(np.argwhere(~np.isfinite(values))[0, 0])} holds NaN or infinity.")
    return np.asarray(values)


def reference(task: str) -> Any:
    """Return the reference posteriors that ship, in the schema sbibm: of ten observations the truth and 1000 samples.

    They are the first of the public files (MIT licence, see the file beside them). Raises NotFound for a task whose
    references do not ship: only those of two_moons and gaussian_mixture do.
    """
    folder = manifests_dir() / "samples" / "sbi"
    path = folder / f"sbibm-{task.replace('_', '-')}.reference.parquet"
    if not path.is_file():
        here = ", ".join(sorted(one.name.split(".")[0] for one in folder.glob("sbibm-*.reference.parquet")))
        name = f"sbibm-{task.replace('_', '-')}"
        raise NotFound(f"the references of {task!r} do not ship ({here} do); `hepml-nb data fetch {name}` gets them.")
    from hepml_nb.data.farm import from_parquet_bytes

    return from_parquet_bytes(path.read_bytes())
