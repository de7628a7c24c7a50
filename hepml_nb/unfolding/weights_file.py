"""Unfolded weights as a file that others can use: one row per event, and beside it what they are and how they came."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, NotFound, atomic_write, suggest
from hepml_nb.stats import effective_size
from hepml_nb.unfolding.base import EventUnfolder
from hepml_nb.unfolding.sample import Floats

__all__ = ["WEIGHTS_SCHEMA", "UnfoldedWeights", "provenance_of", "read_weights", "write_weights"]

WEIGHTS_SCHEMA = 1
_KEY = b"hepml_nb.unfolded_weights"
_NEEDED = ("method", "config", "seed", "dataset", "versions")
_WITH_VERSIONS = ("hepml-nb", "numpy", "scikit-learn", "torch")


@dataclass(frozen=True, eq=False)
class UnfoldedWeights:
    """Weights of the simulated events of a dataset, in events of the measured luminosity.

    event: (n,) int64, the events' numbers in that dataset, none twice. nominal: (n,), generator's weight times the
    unfolding's factor, 0 where the event is not selected before the detector. replicas: (r, n), the same from r
    repetitions with fluctuations of data, simulation and training, whose spread is the statistical error.
    systematics: {name: (n,)}, the nominal weights with one thing changed. provenance: JSON, with at least method,
    config, seed, dataset and versions. Raises InputError for unequal lengths, NaN, repeated events, what is missing.
    """

    event: Any
    nominal: Any
    provenance: Mapping[str, Any]
    replicas: Any = None
    systematics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        event = np.asarray(self.event)
        if event.ndim != 1 or not len(event) or event.dtype.kind not in "iu":
            raise InputError(f"event has shape {event.shape}, dtype {event.dtype}; expected (n,) whole numbers.")
        if len(np.unique(event)) < len(event):
            raise InputError(f"{len(event) - len(np.unique(event))} of {len(event)} event numbers stand there twice.")
        n = len(event)
        replicas = np.zeros((0, n)) if self.replicas is None else np.asarray(self.replicas, float)
        if replicas.ndim != 2:
            raise InputError(f"replicas have shape {replicas.shape}; expected (replicas, {n}).")
        systematics = {str(name): np.asarray(w, float) for name, w in self.systematics.items()}
        rows = {f"replica {i}": w for i, w in enumerate(replicas)} | systematics
        for name, w in {"nominal": np.asarray(self.nominal, float), **rows}.items():
            if w.shape != (n,):
                raise InputError(f"{name} has shape {w.shape}; there are {n} events.")
            if not np.isfinite(w).all():
                raise InputError(f"{name} is NaN or infinite in {int((~np.isfinite(w)).sum())} of {n} events.")
        if missing := [name for name in _NEEDED if name not in self.provenance]:
            raise InputError(f"provenance has no {', '.join(missing)}; see provenance_of.")
        made = {"event": event.astype(np.int64), "nominal": np.asarray(self.nominal, float), "replicas": replicas}
        for name, value in {**made, "systematics": systematics, "provenance": dict(self.provenance)}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.event)

    def of(self, event: npt.ArrayLike, which: str = "nominal") -> Floats:
        """Return the weights (m,) of events by their numbers, in any order: "nominal" or a systematic's name.

        Raises NotFound for events or a name that the file does not hold.
        """
        named = {"nominal": self.nominal, **self.systematics}
        if which not in named:
            raise NotFound(f"there are no weights {which!r}{suggest(which, named)}")
        asked = np.asarray(event)
        order = np.argsort(self.event)
        place = order[np.minimum(np.searchsorted(self.event, asked, sorter=order), len(self) - 1)]
        unknown = self.event[place] != asked
        if unknown.any():
            raise NotFound(
                f"{int(unknown.sum())} of {len(asked)} events have no weight here (first {asked[unknown][0]}); the "
                f"weights are for {self.provenance['dataset']}."
            )
        return np.asarray(named[which][place])


def provenance_of(unfolder: EventUnfolder, seed: int, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return where weights come from: method, config, seed, dataset (`Dataset.fingerprint()`) and versions."""
    versions = {name: importlib.metadata.version(name) for name in _WITH_VERSIONS}
    return {"method": unfolder.name, "config": dataclasses.asdict(unfolder.config), "seed": seed,
            "dataset": dict(dataset), "versions": versions}  # fmt: skip


def write_weights(path: str | Path, weights: UnfoldedWeights) -> Path:
    """Write a Parquet file, complete or not at all, and return its path.

    Columns: event, nominal, replica_000 ..., systematic_<name>; the metadata hold, as JSON, the schema's number,
    provenance, effective size and a checksum of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"event": weights.event, "nominal": weights.nominal}
    columns |= {f"replica_{i:03d}": w for i, w in enumerate(weights.replicas)}
    columns |= {f"systematic_{name}": w for name, w in weights.systematics.items()}
    about = {
        "schema": WEIGHTS_SCHEMA, "provenance": weights.provenance, "sha256": _checksum(columns),
        "effective_size": effective_size(weights.nominal),
    }  # fmt: skip
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about, default=str).encode()})
    made = io.BytesIO()
    pq.write_table(table, made, compression="zstd")
    with atomic_write(path, "wb") as stream:
        stream.write(made.getvalue())
    return Path(path)


def read_weights(path: str | Path, dataset: str | None = None) -> UnfoldedWeights:
    """Read what `write_weights` wrote.

    dataset: identity that the weights must be for (`Dataset.identity`). Raises NotFound where there is no file,
    InputError where it is another kind of file, of another schema, damaged, or for another dataset.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise NotFound(f"there is no file {path}; write_weights makes one.")
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as unfolded weights: {error}") from error
    if about.get("schema") != WEIGHTS_SCHEMA:
        raise InputError(f"{path} has schema {about.get('schema')!r}; expected unfolded weights, {WEIGHTS_SCHEMA}.")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    if _checksum(columns) != about["sha256"]:
        raise InputError(f"{path} was changed after it was written: the checksum of its columns is another.")
    made_for = about["provenance"]["dataset"].get("identity")
    if dataset is not None and dataset != made_for:
        raise InputError(f"{path} holds weights for the dataset {made_for}, not {dataset}; load that one.")
    replicas = [w for name, w in columns.items() if name.startswith("replica_")]
    return UnfoldedWeights(
        columns["event"], columns["nominal"], about["provenance"], np.stack(replicas) if replicas else None,
        {name.removeprefix("systematic_"): w for name, w in columns.items() if name.startswith("systematic_")},
    )  # fmt: skip


def _checksum(columns: Mapping[str, npt.NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for name, values in columns.items():
        found.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
