"""HDF5 and Parquet files opened for reading, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, NotFound

__all__ = ["hdf5", "parquet"]


@contextmanager
def hdf5(path: Path, unpacked: Path | None = None) -> Iterator[Any]:
    """Open an HDF5 file (`unpacked` where `path` is compressed); raise InputError where it is none, or damaged."""
    try:
        import h5py
    except ImportError as error:
        raise NotFound("reading HDF5 files needs h5py: pip install 'hepml-nb[public]'.") from error
    try:
        file = h5py.File(unpacked or path, "r")
    except OSError as error:
        raise InputError(f"{path} is no HDF5 file, or it is cut short or damaged: {error}") from error
    with file:
        yield file


@contextmanager
def parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file as pyarrow does; raise InputError where it is none, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"{path} is no Parquet file, or it is cut short or damaged: {told}") from error
    with file:
        yield file
