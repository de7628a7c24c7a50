"""A Dataset: records in splits, with where they came from."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, rng, suggest

__all__ = ["Dataset", "Part", "padded"]


@dataclass(frozen=True)
class Part:
    """`n` records of one stream that `read` returns as an array when needed; `sha256` is that of their file."""

    n: int
    read: Callable[[], Any]
    stream: str = ""
    sha256: str = ""


class Dataset:
    """Splits of records (awkward arrays), read when first asked for, and their provenance.

    `parts` gives the pieces of each split; the order of records is drawn from `seed`.
    """

    def __init__(
        self,
        name: str,
        profile: str,
        parts: Mapping[str, Sequence[Part]],
        provenance: Mapping[str, Any],
        classes: Mapping[str, int],
        seed: int = 0,
    ) -> None:
        self.name, self.profile, self.seed = name, profile, seed
        self.provenance, self.classes = dict(provenance), dict(classes)
        self._parts = {split: tuple(row) for split, row in parts.items()}
        self._arrays = dict[str, Any]()

    @property
    def identity(self) -> str:
        """Return the hash that names this content."""
        return str(self.provenance["identity"])

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self._parts)

    def fingerprint(self) -> dict[str, Any]:
        """Return what names this content in full: identity, source, sizes, sha256 of every part, versions used."""
        made = {stream: one.get("uses", {}) for stream, one in self.provenance.get("recipe", {}).items()}
        parts = {split: [[part.stream, part.n, part.sha256] for part in row] for split, row in self._parts.items()}
        versions = {name: version for uses in made.values() for name, version in uses.items()}
        return {"name": self.name, "profile": self.profile, "identity": self.identity,
                "source": self.provenance["source"], "counts": self.counts(), "parts": parts,
                "versions": versions}  # fmt: skip

    def split(self, name: str) -> Any:
        """Return the records of a split, classes mixed; raise NotFound for a split that the dataset does not have."""
        if name not in self._arrays:
            array = ak.concatenate([part.read() for part in self.parts(name)])
            self._arrays[name] = array[rng(self.seed, "order", name).permutation(len(array))]
        return self._arrays[name]

    def parts(self, name: str) -> tuple[Part, ...]:
        """Return the pieces of a split, for those who read it bit by bit; raise NotFound for an unknown split."""
        if name not in self._parts:
            raise NotFound(f"{self.name} ({self.profile}) has no split {name!r}{suggest(name, self._parts)}")
        return self._parts[name]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return {split: {stream: records}}; the streams are the classes where there are any."""
        return {split: dict(counts) for split, counts in self.provenance["counts"].items()}

    def overlap(self, a: str, b: str, columns: Sequence[str] | None = None) -> int:
        """Return how many records of split `a` also stand in split `b`, with the same content in `columns`.

        Columns are those of the records and of their collections, all but the event number where None are given.
        Records are read part by part. Raises NotFound for an unknown split or column.
        """
        from hepml_nb.data.comparison import hashes

        of_b = np.unique(np.concatenate([hashes(part.read(), columns) for part in self.parts(b)]))
        return sum(int(np.isin(hashes(part.read(), columns), of_b).sum()) for part in self.parts(a))

    def __len__(self) -> int:
        """Return the number of records in all splits."""
        return sum(sum(counts.values()) for counts in self.counts().values())

    def batches(
        self, split: str, size: int = 256, *, seed: int | None = None, most: int = 128
    ) -> Iterator[dict[str, Any]]:
        """Yield batches of torch tensors; memory stays constant, as only one part of each stream is held at a time.

        Each is a dict of the columns, (b, ...), and for every collection an array (b, n, k) of its columns in the
        schema's order, padded with zeros to the longest of the batch and at most `most`, with `<collection>_mask`
        (b, n). Records are mixed among the parts held; with a `seed` their order is drawn anew. Raises InputError for
        size < 1.
        """
        import torch

        if size < 1 or most < 1:
            raise InputError(f"size={size}, most={most}: both must be at least 1.")
        generator = rng(self.seed if seed is None else seed, "batches", split)
        rest: Any = None
        for window in _windows(self.parts(split)):
            array = ak.concatenate([part.read() for part in window])
            array = array[generator.permutation(len(array))]
            array = array if rest is None else ak.concatenate([rest, array])
            whole = len(array) - len(array) % size
            for start in range(0, whole, size):
                yield {name: torch.from_numpy(x) for name, x in tensors(array[start : start + size], most).items()}
            rest = ak.to_packed(array[whole:])  # a copy: a view would keep all parts read so far
        if rest is not None and len(rest):
            yield {name: torch.from_numpy(x) for name, x in tensors(rest, most).items()}

    def __repr__(self) -> str:
        """Return one line: name, profile, source and sizes."""
        sizes = ", ".join(f"{split} {sum(counts.values()):,}" for split, counts in self.counts().items())
        return f"Dataset({self.name!r}, {self.profile}, {self.provenance['source']}: {sizes})"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for counts in self.counts().values() for name in counts))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            f"<tr><th>{split}</th>" + "".join(f"<td>{counts.get(name, 0):,}</td>" for name in names) + "</tr>"
            for split, counts in self.counts().items()
        )
        told = html.escape(f"{self.name}, profile {self.profile}: {self.provenance['about']}")
        return f"<table><caption>{told}</caption><tr><th>records</th>{head}</tr>{body}</table>"


def _windows(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield groups of parts, one of each stream, so that every group has all classes while they last."""
    streams: dict[str, list[Part]] = {}
    for part in parts:
        streams.setdefault(part.stream, []).append(part)
    for i in range(max(map(len, streams.values()), default=0)):
        yield [row[i] for row in streams.values() if i < len(row)]


def tensors(records: Any, most: int) -> dict[str, np.ndarray]:
    """Return the columns of records as arrays, collections padded with a mask each."""
    found: dict[str, np.ndarray] = {}
    for name in records.fields:
        column = records[name]
        if column.fields:
            found[name], found[f"{name}_mask"] = padded(column, most)
        else:
            found[name] = np.array(ak.to_numpy(column))
    return found


def padded(things: Any, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (b, n, k) of the k columns padded with zeros, and the mask (b, n); n is at most `most`."""
    counts = np.minimum(ak.to_numpy(ak.num(things)), most)
    width = int(counts.max(initial=1))
    mask = np.arange(width) < counts[:, None]
    columns = []
    for name in things.fields:
        filled = ak.fill_none(ak.pad_none(things[name][:, :most], width, clip=True), 0)
        columns.append(ak.to_numpy(filled).astype(np.float32))
    return np.stack(columns, axis=-1), mask
