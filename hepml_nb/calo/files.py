"""Showers in the HDF5 layout of the CaloChallenge, so that its own evaluation and anybody's tools read ours."""

from __future__ import annotations

import io
import os
from typing import Any

from hepml_nb.calo.sample import Showers
from hepml_nb.core import InputError, atomic_write

__all__ = ["write_showers"]


def write_showers(path: str | os.PathLike[str], showers: Showers) -> None:
    """Write `incident_energies` (n, 1) and `showers` (n, voxels), both in MeV, gzipped; whole or not at all.

    Raises InputError where h5py is not installed. `data.add` and the reader "calochallenge" read it again.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError("writing HDF5 needs h5py: pip install 'hepml-nb[public]'.") from error
    options: dict[str, Any] = {"compression": "gzip"} if len(showers) else {}
    memory = io.BytesIO()  # gzipped, most voxels being empty, it is small
    with h5py.File(memory, "w") as file:
        file.create_dataset("incident_energies", data=showers.energies[:, None], **options)
        file.create_dataset("showers", data=showers.deposits, **options)
    with atomic_write(path, "wb") as stream:
        stream.write(memory.getbuffer())
