"""A Dataset: records in splits, with where they came from."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, rng, suggest

__all__ = ["Dataset", "padded"]


class Dataset:
    """Splits of records (awkward arrays), read when first asked for, and their provenance.

    `readers` gives for each split a function that returns its array; the order of records is drawn from `seed`.
    """

    def __init__(
        self,
        name: str,
        profile: str,
        readers: Mapping[str, Callable[[], Any]],
        provenance: Mapping[str, Any],
        classes: Mapping[str, int],
        seed: int = 0,
    ) -> None:
        self.name, self.profile, self.seed = name, profile, seed
        self.provenance, self.classes = dict(provenance), dict(classes)
        self._readers, self._arrays = dict(readers), dict[str, Any]()

    @property
    def identity(self) -> str:
        """Return the hash that names this content."""
        return str(self.provenance["identity"])

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self._readers)

    def split(self, name: str) -> Any:
        """Return the records of a split, classes mixed; raise NotFound for a split that the dataset does not have."""
        if name not in self._readers:
            raise NotFound(f"{self.name} ({self.profile}) has no split {name!r}{suggest(name, self._readers)}")
        if name not in self._arrays:
            array = self._readers[name]()
            self._arrays[name] = array[rng(self.seed, "order", name).permutation(len(array))]
        return self._arrays[name]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return {split: {class: records}}."""
        return {split: dict(counts) for split, counts in self.provenance["counts"].items()}

    def __len__(self) -> int:
        """Return the number of records in all splits."""
        return sum(sum(counts.values()) for counts in self.counts().values())

    def batches(
        self, split: str, size: int = 256, *, seed: int | None = None, constituents: int = 128
    ) -> Iterator[dict[str, Any]]:
        """Yield batches of torch tensors, padded one batch at a time, so that memory stays constant.

        Each is a dict of the scalar columns, (b,), with `constituents` (b, n, 4) of pt, deta, dphi, pdg and `mask`
        (b, n), n at most `constituents`. With a `seed` the order is drawn anew. Raises InputError for size < 1.
        """
        import torch

        if size < 1 or constituents < 1:
            raise InputError(f"size={size}, constituents={constituents}: both must be at least 1.")
        array = self.split(split)
        order = np.arange(len(array)) if seed is None else rng(seed, "batches", split).permutation(len(array))
        for start in range(0, len(order), size):
            rows = array[order[start : start + size]]
            inside, mask = padded(rows.constituents, constituents)
            scalars = {name: np.array(rows[name]) for name in rows.fields if name != "constituents"}
            columns = {**scalars, "constituents": inside, "mask": mask}
            yield {name: torch.from_numpy(values) for name, values in columns.items()}

    def __repr__(self) -> str:
        """Return one line: name, profile, source and sizes."""
        sizes = ", ".join(f"{split} {sum(counts.values()):,}" for split, counts in self.counts().items())
        return f"Dataset({self.name!r}, {self.profile}, {self.provenance['source']}: {sizes})"

    def _repr_html_(self) -> str:
        names = list(self.classes)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            f"<tr><th>{split}</th>" + "".join(f"<td>{counts.get(name, 0):,}</td>" for name in names) + "</tr>"
            for split, counts in self.counts().items()
        )
        told = html.escape(f"{self.name}, profile {self.profile}: {self.provenance['about']}")
        return f"<table><caption>{told}</caption><tr><th>records</th>{head}</tr>{body}</table>"


def padded(constituents: Any, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (b, n, 4) of pt, deta, dphi, pdg padded with zeros, and the mask (b, n); n is at most `most`."""
    counts = np.minimum(ak.to_numpy(ak.num(constituents)), most)
    width = int(counts.max(initial=1))
    mask = np.arange(width) < counts[:, None]
    columns = []
    for name in ("pt", "deta", "dphi", "pdg"):
        filled = ak.fill_none(ak.pad_none(constituents[name][:, :most], width, clip=True), 0)
        columns.append(ak.to_numpy(filled).astype(np.float32))
    return np.stack(columns, axis=-1), mask
