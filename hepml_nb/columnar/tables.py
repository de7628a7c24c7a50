"""Flat tables of jets or events in ROOT, Parquet, HDF5 and npz files, read chunk by chunk; nothing is unpickled."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.columnar.files import look, reason
from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["FORMATS", "Field", "Table", "opened"]

FORMATS = {".root": "ROOT", ".parquet": "Parquet", ".pq": "Parquet", ".h5": "HDF5", ".hdf5": "HDF5", ".npz": "npz"}
_Chunks = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Field:
    """A column: numpy type and shape beyond the row, None for a list of any length."""

    dtype: str
    shape: tuple[int | None, ...] = ()

    def __str__(self) -> str:
        return self.dtype + "".join("[]" if size is None else f"[{size}]" for size in self.shape)


@dataclass(frozen=True)
class Table:
    """Columns of one file. Names may also be `X[2]`, one place of the last axis, and `PX_*`, columns PX_0, PX_1 ..."""

    path: str
    format: str
    tree: str
    rows: int
    fields: Mapping[str, Field]
    read: Callable[[Sequence[str], int], _Chunks]

    def chunks(self, names: Sequence[str], size: int, most: int | None = None) -> _Chunks:
        """Yield {name: array} of `size` rows at a time, of `most` rows at most.

        Raises NotFound for a name that is not there, InputError for one that holds objects and for a damaged file.
        """
        made_of = {name: self._made_of(name) for name in names}
        real = list(dict.fromkeys(column for columns in made_of.values() for column in columns))
        done, parts = 0, self.read(real, min(size, most or size))
        while True:
            try:
                part = next(parts, None)
            except (InputError, NotFound):
                raise
            except Exception as error:  # ROOT, HDF5 and zip libraries each tell a damaged file in many ways
                raise InputError(f"{self.path} is damaged after row {done}: {reason(error)}.") from error
            if part is None:
                return
            done += len(next(iter(part.values()))) if part else 0
            yield {name: _resolved(name, columns, part) for name, columns in made_of.items()}
            if most is not None and done >= most:
                return

    def budget(self, names: Sequence[str], most: int, size: int = 64_000_000) -> int:
        """Return how many rows of these columns to hold at a time: `most`, or what fits in `size` bytes."""
        fields = [self.fields.get(name) or self.fields.get(name.split("[")[0]) or Field("") for name in names]
        row = sum(8 * int(np.prod([100 if one is None else one for one in field.shape])) for field in fields)
        return max(1, min(most, size // max(row, 1)))

    def _made_of(self, name: str) -> list[str]:
        base = re.sub(r"\[\d+\]$", "", name)
        field = self.fields.get(name) or self.fields.get(base)
        if field is None:
            raise NotFound(f"{self.path} has no column {name!r}{suggest(name, self.fields)}")
        if field.dtype == "object":
            raise InputError(f"{self.path}: column {name!r} holds Python objects, which only unpickling could read; "
                             "write it as numbers: lists in Parquet or ROOT, or padded arrays.")  # fmt: skip
        if base != name and not (field.shape and int(name[len(base) + 1 : -1]) < (field.shape[-1] or 0)):
            raise NotFound(f"{self.path}: column {base!r} is {field} per row; there is no place {name[len(base) :]}.")
        if base.endswith("*"):
            return [base[:-1] + str(i) for i in range(field.shape[0] or 0)]
        return [base]


def _resolved(name: str, columns: Sequence[str], part: Mapping[str, Any]) -> Any:
    if name.endswith("*"):
        return ak.Array(np.stack([ak.to_numpy(part[column]) for column in columns], axis=1))
    column = part[columns[0]]
    return column[..., int(name[len(columns[0]) + 1 : -1])] if name != columns[0] else column


@contextmanager
def opened(path: str | Path, tree: str | None = None) -> Iterator[Table]:
    """Yield the table in a file; `tree` is a ROOT tree (default: the largest) or an HDF5 group.

    Raises InputError for a format that is not read, a damaged file or one without rows, NotFound for an unknown tree.
    """
    kind = FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: the format of {Path(path).suffix or 'this file'!r} is not read; expected one of "
                         f"{', '.join(FORMATS)}.")  # fmt: skip
    with ExitStack() as stack:
        try:
            found = {"ROOT": _root, "Parquet": _parquet, "HDF5": _hdf5, "npz": _npz}[kind](Path(path), tree, stack)
        except (InputError, NotFound):
            raise
        except Exception as error:
            raise InputError(f"{path} is no {kind} file, or it is damaged: {reason(error)}.") from error
        if not found.rows:
            raise InputError(f"{path} has no rows.")
        yield found


def _numbered(fields: dict[str, Field]) -> dict[str, Field]:
    """Put columns PX_0, PX_1, PX_2 ... together as PX_*."""
    groups: dict[str, list[str]] = {}
    for name, field in fields.items():
        if (found := re.fullmatch(r"(.*_)(\d+)", name)) and not field.shape:
            groups.setdefault(found[1], []).append(name)
    out = dict(fields)
    for stem, names in groups.items():
        if len(names) >= 4 and set(names) == {f"{stem}{i}" for i in range(len(names))}:
            out[f"{stem}*"] = Field(fields[names[0]].dtype, (len(names),))
            out = {name: field for name, field in out.items() if name not in names}
    return out


def _fields(prefix: str, kind: Any, shape: tuple[int | None, ...] = ()) -> dict[str, Field]:
    """Return the columns of an awkward type, fields of records as `jets.pt`."""
    while True:
        if isinstance(kind, ak.types.OptionType):
            kind = kind.content
        elif isinstance(kind, ak.types.ListType | ak.types.RegularType):
            if kind.parameters.get("__array__") in ("string", "bytestring"):
                return {prefix: Field("string", shape)}
            shape = (*shape, kind.size if isinstance(kind, ak.types.RegularType) else None)
            kind = kind.content
        elif isinstance(kind, ak.types.RecordType):
            inner: dict[str, Field] = {}
            for name, content in zip(kind.fields or [], kind.contents, strict=False):
                inner |= _fields(f"{prefix}.{name}", content, shape)
            return inner
        elif isinstance(kind, ak.types.NumpyType):
            return {prefix: Field(kind.primitive, shape)}
        else:
            return {prefix: Field("object", shape)}


def _root(path: Path, tree: str | None, stack: ExitStack) -> Table:
    import uproot

    seen = look(path, tree)
    source = stack.enter_context(uproot.open(path))[seen.tree]
    fields: dict[str, Field] = {}
    for name in seen.branches:
        try:
            fields |= _fields(name, source[name].array(entry_stop=1).type.content)
        except Exception:
            fields[name] = Field("object")  # a class that needs its own streamer

    def read(names: Sequence[str], size: int) -> _Chunks:
        tops = list(dict.fromkeys(_top(name, seen.branches) for name in names))
        for start in range(0, seen.events, size):
            part = {top: source[top].array(entry_start=start, entry_stop=start + size) for top in tops}
            yield {name: _inside(part[_top(name, seen.branches)], name, _top(name, seen.branches)) for name in names}

    return Table(str(path), "ROOT", seen.tree, seen.events, _numbered(fields), read)


def _top(name: str, tops: Sequence[str]) -> str:
    return name if name in tops else max((top for top in tops if name.startswith(f"{top}.")), key=len)


def _inside(column: Any, name: str, top: str) -> Any:
    for field in name[len(top) + 1 :].split(".") if name != top else ():
        column = column[field]
    return column


def _parquet(path: Path, tree: str | None, stack: ExitStack) -> Table:
    import pyarrow.parquet as pq

    file = stack.enter_context(pq.ParquetFile(path))
    tops = file.schema_arrow.names
    fields: dict[str, Field] = {}
    for name in tops:
        blank = file.schema_arrow.field(name).type
        try:
            import pyarrow as pa

            fields |= _fields(name, ak.from_arrow(pa.array([], type=blank)).type.content)
        except Exception:
            fields[name] = Field("object")  # a type that no array of numbers has, such as dates

    def read(names: Sequence[str], size: int) -> _Chunks:
        wanted = list(dict.fromkeys(_top(name, tops) for name in names))
        for batch in file.iter_batches(size, columns=wanted):
            part = {top: ak.from_arrow(batch.column(top)) for top in wanted}
            yield {name: _plain(_inside(part[_top(name, tops)], name, _top(name, tops)), path, name) for name in names}

    return Table(str(path), "Parquet", "", file.metadata.num_rows, _numbered(fields), read)


def _plain(column: Any, path: Path, name: str) -> Any:
    """Return a column of Parquet without its "maybe"; raise InputError where a value is missing."""
    if ak.any(ak.is_none(column, axis=-1), axis=None) or ak.any(ak.is_none(column), axis=None):
        raise InputError(f"{path}: column {name!r} has missing values (null); fill them or drop those rows.")
    return ak.drop_none(column, axis=None)


def _hdf5(path: Path, tree: str | None, stack: ExitStack) -> Table:
    try:
        import h5py
    except ImportError as error:
        raise NotFound("reading HDF5 files needs h5py: pip install 'hepml-nb[public]'.") from error
    file = stack.enter_context(h5py.File(path, "r"))
    groups = [""]
    file.visititems(lambda name, thing: groups.append(name) if isinstance(thing, h5py.Group) else None)
    if tree and tree.strip("/") not in groups:
        raise NotFound(f"{path} has no group {tree!r}{suggest(tree, groups[1:])}")
    found: dict[str, Any] = {}
    (file[tree] if tree else file).visititems(
        lambda name, thing: found.update({name: thing}) if isinstance(thing, h5py.Dataset) and thing.ndim else None
    )
    if any(name.split("/")[-1].startswith(("values_block_", "block0_values")) or "values_block_0" in (thing.dtype.names
           or ()) for name, thing in found.items()):  # fmt: skip
        raise InputError(f"{path} holds a pandas table, whose columns have no names outside of pandas; write it again "
                         "with pandas.read_hdf(FILE).to_parquet(FILE).")  # fmt: skip
    rows = Counter(thing.shape[0] for thing in found.values()).most_common(1)[0][0] if found else 0
    fields, where = dict[str, Field](), dict[str, tuple[str, str | None]]()
    for name, thing in found.items():
        for inner in (thing.dtype.names or (None,)) if thing.shape[0] == rows else ():
            kind = thing.dtype[inner] if inner else thing.dtype
            label = f"{name}.{inner}" if inner else name
            where[label] = (name, inner)
            plain = kind.base.kind in "biuf"
            fields[label] = Field(kind.base.name if plain else "object", (*thing.shape[1:], *kind.shape))

    def read(names: Sequence[str], size: int) -> _Chunks:
        for start in range(0, rows, size):
            part: dict[str, np.ndarray] = {}
            for name in dict.fromkeys(where[name][0] for name in names):
                part[name] = _native(found[name][start : start + size])
            pieces = {name: part[where[name][0]] for name in names}
            yield {name: ak.Array(piece[inner] if (inner := where[name][1]) else piece)
                   for name, piece in pieces.items()}  # fmt: skip

    return Table(str(path), "HDF5", tree or "", rows, _numbered(fields), read)


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _npz(path: Path, tree: str | None, stack: ExitStack) -> Table:
    archive = stack.enter_context(zipfile.ZipFile(path))
    heads = {name[:-4]: _npy_head(archive, name) for name in archive.namelist() if name.endswith(".npy")}
    shapes = {name: shape for name, (shape, _, _) in heads.items() if shape}
    rows = Counter(shape[0] for shape in shapes.values()).most_common(1)[0][0] if shapes else 0
    fields = {name: Field(kind.name if kind.kind in "biuf" else "object", shape[1:])
              for name, (shape, _, kind) in heads.items() if shape and shape[0] == rows}  # fmt: skip

    def read(names: Sequence[str], size: int) -> _Chunks:
        with ExitStack() as inner:
            streams = {name: inner.enter_context(archive.open(f"{name}.npy")) for name in names}
            whole = {}
            for name, stream in streams.items():
                shape, fortran, kind = _header(stream)
                if fortran and len(shape) > 1:  # columns lie one after another: there is no reading of rows
                    whole[name] = np.frombuffer(stream.read(), kind).reshape(shape, order="F")
            for start in range(0, rows, size):
                n = min(size, rows - start)
                yield {name: ak.Array(whole[name][start : start + n]) if name in whole else
                       ak.Array(_rows(stream, heads[name], n)) for name, stream in streams.items()}  # fmt: skip

    return Table(str(path), "npz", "", rows, _numbered(fields), read)


def _npy_head(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with archive.open(name) as stream:
        return _header(stream)


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and type of an .npy stream, which then stands at the numbers."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(stream)
    return tuple(shape), bool(fortran), kind


def _rows(stream: Any, head: tuple[tuple[int, ...], bool, np.dtype[Any]], n: int) -> np.ndarray:
    shape, _, kind = head
    size = int(np.prod(shape[1:], dtype=np.int64)) * kind.itemsize
    content = stream.read(n * size)
    if len(content) != n * size:
        raise InputError("an array of it is cut short.")
    return _native(np.frombuffer(content, kind)).reshape(n, *shape[1:])
