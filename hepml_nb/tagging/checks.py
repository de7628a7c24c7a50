"""Jets are checked at the door, so that a method never meets a missing column, a NaN or an empty jet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError

__all__ = ["CONSTITUENT_FIELDS", "check_jets", "labels_of"]

CONSTITUENT_FIELDS = ("pt", "deta", "dphi", "pdg")


def check_jets(jets: Any, columns: Iterable[str], *, method: str = "this tagger") -> None:
    """Raise InputError unless `jets` is a non-empty awkward array with the named columns, finite, no jet empty.

    columns: names of the jets schema; "constituents" asks for pt (GeV), deta, dphi, pdg of at least one
    constituent per jet. The message says what is wrong, in how many jets, and where first.
    """
    if not isinstance(jets, ak.Array) or not jets.fields:
        raise InputError(
            f"jets is a {type(jets).__name__}; expected an awkward array of records, as data.load() gives."
        )
    if len(jets) == 0:
        raise InputError("there are no jets (0 rows); did a selection remove them all?")
    needed = list(columns)
    if missing := [name for name in needed if name not in jets.fields]:
        raise InputError(f"jets lack the column(s) {missing} that {method} needs; they have {sorted(jets.fields)}.")
    for name in needed:
        if name == "constituents":
            _check_constituents(jets.constituents, method)
        else:
            _finite(name, np.asarray(ak.to_numpy(jets[name])))


def _check_constituents(constituents: Any, method: str) -> None:
    if missing := [name for name in CONSTITUENT_FIELDS if name not in constituents.fields]:
        raise InputError(
            f"constituents lack the field(s) {missing} that {method} needs; they have {constituents.fields}."
        )
    counts = ak.to_numpy(ak.num(constituents))
    if empty := int((counts == 0).sum()):
        raise InputError(
            f"{empty} of {len(counts)} jets have no constituents (first in row {int(np.argmin(counts > 0))}); "
            "keep jets[ak.num(jets.constituents) > 0]."
        )
    owner = np.repeat(np.arange(len(counts)), counts)
    for name in CONSTITUENT_FIELDS[:3]:
        _finite(f"constituents.{name}", ak.to_numpy(ak.flatten(constituents[name])), owner)
    if (low := ak.to_numpy(ak.flatten(constituents.pt)) <= 0).any():
        raise InputError(f"{int(low.sum())} constituents have pt <= 0 (first in row {owner[int(np.argmax(low))]}).")


def _finite(name: str, values: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None = None) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(np.argmax(bad))
        row = first if rows is None else int(rows[first])
        raise InputError(
            f"column {name!r} is nan or infinite in {int(bad.sum())} of {len(values)} entries (first in row {row})."
        )


def labels_of(jets: Any, *, both: bool = True) -> npt.NDArray[np.float32]:
    """Return jets.label as 0.0 (background) and 1.0 (signal), shape (n,).

    Raises InputError for other labels, and, where `both`, when one class is absent.
    """
    if "label" not in jets.fields:
        raise InputError(f"jets lack the column 'label' (0 background, 1 signal); they have {sorted(jets.fields)}.")
    label = np.asarray(ak.to_numpy(jets.label))
    found = np.unique(label).tolist()
    if not set(found) <= {0, 1}:
        raise InputError(
            f"label has the values {found}; a tagger separates 0 from 1. Choose the signal first: "
            "jets['label'] = jets.label == 2."
        )
    if both and len(found) < 2:
        raise InputError(f"label is {found[0]} for all {len(label)} jets; training needs both classes.")
    return label.astype(np.float32)
