"""CMS NanoAOD, and trees with some of its branches: ROOT files with a TTree `Events` of nMuon, Muon_pt and so on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest

__all__ = ["count", "read"]


def count(path: Path, *, tree: str = "Events") -> int:
    """Return the number of events in a file; raise InputError for another layout."""
    with _opened(path, tree) as events:
        return int(events.num_entries)


def read(path: Path, start: int, stop: int, *, label: int | None = None, tree: str = "Events") -> Any:
    """Return events [start, stop) in the nanoaod schema; what the file lacks is empty, NaN or -1, as `label` is.

    A file without run, luminosityBlock and event (derived files of open data) gets run 0 and its rows as event numbers.
    Raises InputError for another layout, collections of uneven length or leptons and jets that are NaN.
    """
    from hepml_nb.simulate import nanoaod

    out: dict[str, Any] = {}
    with _opened(path, tree) as events:
        rows, here = int(events.num_entries), set(events.keys())
        if not start < min(stop, rows):
            raise InputError(f"{path} has {rows} events; nothing lies between {start} and {stop}.")
        stop = min(stop, rows)

        def branch(name: str) -> Any:
            return events[name].array(entry_start=start, entry_stop=stop)

        out["run"] = branch("run") if "run" in here else np.zeros(stop - start)
        for name in nanoaod.EVENT:
            if name in here and name not in ("run", "label"):
                out[name] = branch(name)
        for name, columns in nanoaod.COLLECTIONS.items():
            if f"{name}_pt" in here:
                given = {column: branch(f"{name}_{column}") for column in columns if f"{name}_{column}" in here}
                out[name] = _collection(path, name, given, start)
    out.setdefault("event", np.arange(start, stop))
    out["label"] = np.full(stop - start, -1 if label is None else label)
    return nanoaod.conform(out)


def _collection(path: Path, name: str, given: dict[str, Any], start: int) -> Any:
    sizes = ak.num(given["pt"])
    for column, values in given.items():
        if values.ndim != 2 or not ak.all(ak.num(values) == sizes):
            raise InputError(f"{path}: {name}_{column} and {name}_pt do not have the same lengths.")
        bad = ak.to_numpy(ak.any(~np.isfinite(values), axis=1))
        if bad.any() and column in ("pt", "eta", "phi", "mass"):
            raise InputError(f"{path}: {name}_{column} of event {start + int(np.argmax(bad))} holds NaN or infinity.")
    return ak.zip(given)


@contextmanager
def _opened(path: Path, tree: str) -> Iterator[Any]:
    import uproot

    try:
        with uproot.open(path) as file:
            names = [key.split(";")[0] for key in file.keys(recursive=False)]
            if tree not in names:
                raise InputError(f"{path} has no tree {tree!r}{suggest(tree, names)}")
            events = file[tree]
            if not any(f"{name}_pt" in events for name in ("Muon", "Electron", "Jet", "FatJet")):
                raise InputError(f"{path}: the tree {tree!r} has no Muon_pt, Electron_pt or Jet_pt; is it NanoAOD?")
            yield events
    except InputError:
        raise
    except Exception as error:  # uproot tells a damaged file in many ways, some only when a branch is read
        told = str(error).partition("\n")[0]
        raise InputError(f"{path} is no ROOT file, or it is damaged: {told}") from error
