"""The public Z + jet set of OmniFold (Zenodo 3548091, arXiv:1911.09107): zipped NumPy arrays.

`gen_` and `sim_` each have `jets` (n, 4) of pt, y, phi, m; `particles` (n, most, 4) of pt/100, dy, dphi and a number
for the class, padded with zeros; `mults`, `lhas`, `widths`, `ang2s`, `tau2s`, `sdms`, `zgs` (n,); `gen_Zs` (n, 3) is
pt, y, phi of a Z that does not decay. Rows are read as they are needed: particles of a file fill a gigabyte.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest

__all__ = ["PIDS", "count", "read"]

PIDS = (22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212, 2112, -2112)
"""The PDG number that stands for 0.0, 0.1, ... 1.3."""

_OBSERVABLES = {"mult": "mults", "lha": "lhas", "width": "widths", "ang2": "ang2s", "tau2": "tau2s", "sdm": "sdms",
                "zg": "zgs"}  # fmt: skip
_SHAPES = {"jets": (4,), "Zs": (3,), **dict.fromkeys(_OBSERVABLES.values(), ())}


def count(path: Path, *, particles: bool = False) -> int:
    """Return the number of events in a file; raise InputError for another layout."""
    with _Archive(path) as archive:
        return archive.events(particles)


def read(path: Path, start: int, stop: int, *, label: int | None = None, particles: bool = False) -> Any:
    """Return events [start, stop) in the zjets schema, of the class `label`; with `particles`, those of both jets.

    What the set does not have is NaN (masses of the Z, its measurement), and every event passes on both sides. Raises
    InputError for another layout, arrays that would have to be unpickled, NaN, infinity or an unknown particle class.
    """
    with _Archive(path) as archive:
        stop = min(stop, archive.events(particles))
        if start >= stop:
            raise InputError(f"{path} has {archive.events(particles)} events; nothing lies between {start} and {stop}.")
        z = archive.rows("gen_Zs", start, stop)
        columns: dict[str, Any] = {f"gen_z_{name}": z[:, i] for i, name in enumerate(("pt", "y", "phi"))}
        columns |= {name: np.full(stop - start, np.nan) for name in ("gen_z_mass", *(f"sim_z_{x}" for x in _Z))}
        for side in ("gen", "sim"):
            columns |= {f"{side}_{name}": column for name, column in _jets(archive, side, start, stop).items()}
        columns = {
            name: np.asarray(x, np.int16 if name.endswith("_mult") else np.float32) for name, x in columns.items()
        }
        columns |= {f"pass_{side}": np.ones(stop - start, dtype=bool) for side in ("gen", "sim")}
        columns["label"] = np.full(stop - start, label or 0, dtype=np.int8)
        columns["event"] = np.arange(start, stop)
        if particles:
            columns |= {f"{side}_particles": _particles(archive, side, start, stop) for side in ("gen", "sim")}
    return ak.zip(columns, depth_limit=1)


_Z = ("pt", "y", "phi", "mass")


def _jets(archive: _Archive, side: str, start: int, stop: int) -> Mapping[str, np.ndarray]:
    from hepml_nb.simulate.shapes import ratios

    jets = archive.rows(f"{side}_jets", start, stop)
    found = dict(zip(("pt", "y", "phi", "mass"), jets.T, strict=True))
    found["phi"] = (found["phi"] + np.pi) % (2 * np.pi) - np.pi
    found |= {name: archive.rows(f"{side}_{key}", start, stop) for name, key in _OBSERVABLES.items()}
    return {**found, **ratios(found["pt"], found["width"], found["tau2"], found["sdm"])}


def _particles(archive: _Archive, side: str, start: int, stop: int) -> Any:
    values = archive.rows(f"{side}_particles", start, stop)
    mask = values[..., 0] > 0
    pt, dy, dphi, number = values[mask].T
    place = np.rint(10 * number).astype(int)
    wrong = (np.abs(10 * number - place) > 1e-3) | (place < 0) | (place >= len(PIDS))
    if wrong.any():
        raise InputError(f"{archive.path}: {side}_particles has the class {number[wrong][0]:g}; expected 0.0 ... 1.3.")
    event = np.repeat(np.arange(len(values)), mask.sum(axis=1))
    order = np.lexsort((-pt, event))
    columns = {
        "pt": (100 * pt).astype(np.float32),
        "dy": dy.astype(np.float32),
        "dphi": ((dphi + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        "pdg": np.array(PIDS, dtype=np.int16)[place],
    }
    return ak.unflatten(ak.zip({name: column[order] for name, column in columns.items()}), mask.sum(axis=1))


class _Archive:
    """An open npz file whose arrays are read by rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no npz file, or it is cut short: {error}") from error

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def events(self, particles: bool) -> int:
        """Return the number of events, after a look at the shapes of all arrays that will be read."""
        names = ["gen_Zs", *(f"{side}_{key}" for side in ("gen", "sim") for key in _SHAPES if key != "Zs")]
        names += ["gen_particles", "sim_particles"] if particles else []
        shapes = {name: self._open(name)[1] for name in names}
        n = shapes["gen_Zs"][0] if shapes["gen_Zs"] else 0
        for name, shape in shapes.items():
            key = name.partition("_")[2]
            inner = (*shape[1:2], 4) if key == "particles" else _SHAPES[key]
            if shape != (n, *inner):
                raise InputError(f"{self.path}: {name} has shape {shape}; expected {(n, *inner)}.")
        if not n:
            raise InputError(f"{self.path} has no events.")
        return int(n)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows [start, stop) of an array in double precision, skipping over what comes before."""
        stream, shape, dtype = self._open(name)
        with stream:
            size = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
            try:
                left = start * size
                while left:
                    left -= len(stream.read(min(left, 1 << 24))) or self._cut(name)
                content = stream.read((stop - start) * size)
            except zipfile.BadZipFile as error:
                raise InputError(f"{self.path}: {name} is damaged: {error}") from error
        if len(content) != (stop - start) * size:
            self._cut(name)
        values = np.frombuffer(content, dtype).reshape(stop - start, *shape[1:]).astype(np.float64)
        if not np.isfinite(values).all():
            row = start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(f"{self.path}: row {row} of {name} holds NaN or infinity.")
        return values

    def _cut(self, name: str) -> int:
        raise InputError(f"{self.path}: {name} ends too early.")

    def _open(self, name: str) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """Return the open array behind its header, its shape and its type."""
        if f"{name}.npy" not in self._zip.namelist():
            known = [member.removesuffix(".npy") for member in self._zip.namelist()]
            raise InputError(f"{self.path} has no array {name!r}{suggest(name, known)}")
        stream = self._zip.open(f"{name}.npy")
        try:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(stream)
        except (ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: {name} is no array: {error}") from error
        if dtype.hasobject:
            raise InputError(f"{self.path}: {name} holds Python objects, which are not unpickled; expected numbers.")
        if dtype.kind not in "fiu" or fortran:
            raise InputError(f"{self.path}: {name} is of type {dtype}{', by columns' if fortran else ''}; "
                             "expected numbers by rows.")  # fmt: skip
        return stream, shape, dtype
