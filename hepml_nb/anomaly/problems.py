"""Searches ready to use, with data, pure samples and a labelled test: the LHC Olympics twin, the toy, and arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.sample import SIGNAL_REGION, Events, Floats, Window, concatenate
from hepml_nb.core import InputError, NotFound, derive_seed, rng, suggest
from hepml_nb.simulate.dijets import FEATURES, features
from hepml_nb.simulate.resonance import ResonanceToy

__all__ = ["COLUMNS", "Convention", "Problem", "from_array", "lhco", "read_array", "toy"]

COLUMNS = FEATURES[1:]
"""The features beside the mass, masses in TeV."""

Convention = Literal["cathode", "sk_cathode"]


class Problem(NamedTuple):
    """What a method may look at, and the test.

    sideband, signal_region: the data beside and inside the window (their labels are the truth, to judge with only);
    background, signal: pure samples in the window, for idealised and supervised methods; test: labelled events in the
    window that are in none of the others. validation: share of the data on which the published training was stopped.
    """

    sideband: Events
    signal_region: Events
    background: Events
    signal: Events
    test: Events
    window: Window
    validation: float = 0.5

    @property
    def injected(self) -> tuple[int, int]:
        """Return (signal, background) events in the window's data."""
        labels = self.signal_region.labels
        return int(labels.sum()), int((labels == 0).sum())

    @property
    def purity(self) -> float:
        """S / B in the window's data."""
        s, b = self.injected
        return s / b

    @property
    def significance(self) -> float:
        """S / sqrt(B) in the window's data, before any cut."""
        s, b = self.injected
        return float(s / np.sqrt(b))


def toy(
    n_background: int,
    n_signal: int,
    seed: int = 0,
    *,
    shift: float = 0.0,
    noise: int = 0,
    window: Window = SIGNAL_REGION,
    pure_background: int = 20_000,
    pure_signal: int = 20_000,
    test_background: int = 100_000,
    test_signal: int = 20_000,
) -> Problem:
    """Return a search on `simulate.resonance.ResonanceToy`: so many events of both kinds, at all masses, are the data.

    shift: of the toy, 0.1 for features that follow the mass. noise: so many features that know nothing, standard normal
    numbers, are appended. The other four are counted in the window; all are drawn independently.
    """
    made = ResonanceToy(shift)
    at = max(window.low, made.reach[0]), min(window.high, made.reach[1])

    def drawn(kind: int, n: int, label: str, between: tuple[float, float] | None) -> Events:
        own = derive_seed(seed, "toy", label)
        table = made.signal(n, own, between) if kind else made.background(n, own, between)
        more = rng(own, "noise").standard_normal((n, noise))
        names = (*COLUMNS, *(f"noise{i}" for i in range(noise)))
        return Events(table[:, 0], np.concatenate([table[:, 1:], more], axis=1), names, np.full(n, kind))

    data = concatenate([drawn(0, n_background, "background", None), drawn(1, n_signal, "signal", None)])
    sideband, signal_region = window.split(_mixed(data, seed))
    test = concatenate([drawn(0, test_background, "test", at), drawn(1, test_signal, "test signal", at)])
    pure = drawn(0, pure_background, "pure", at), drawn(1, pure_signal, "pure signal", at)
    return Problem(sideband, signal_region, *pure, test, window)


def lhco(
    records: Any,
    extra: Any,
    *,
    n_signal: int | None = None,
    signal: int = 1,
    window: Window = SIGNAL_REGION,
    seed: int = 0,
    convention: Convention = "cathode",
    pure_background: int | None = None,
) -> Problem:
    """Return a search on records of `lhco`, split by one of two published conventions.

    records: QCD (label 0) and signals; extra: records of `lhco-extra-qcd`, of which pure_background in the window are
    the pure background (None: half of them) and all others test. signal: label of the signal, 1 (two quarks each) or 2
    (three). n_signal: signal events among the data, of all masses (None: one in a thousand QCD events, as 1000 in the
    public million). Signals that are not among the data are pure signal and test, half and half.
    convention: "cathode" (arXiv:2109.00546) takes all QCD as data, half of them for validation, and tests on extra QCD
    only; "sk_cathode" splits all data into 1/2, 1/6 and 1/3 for training, validation and test, to which the extra ones
    are added. Scores of the two are not interchangeable: the data of the second are fewer.
    Raises InputError for a label or a number that the records do not have.
    """
    if convention not in get_args(Convention):
        raise InputError(f"convention={convention!r} is unknown{suggest(str(convention), get_args(Convention))}")
    labels = np.asarray(records.label)
    table = features(records)
    qcd, resonant = (_events(table[labels == label], int(label > 0)) for label in (0, signal))
    wanted = round(len(qcd) / 1000) if n_signal is None else n_signal
    if signal < 1 or not 0 <= wanted < len(resonant):
        counts = ", ".join(
            f"{n} of label {label}" for label, n in zip(*np.unique(labels, return_counts=True), strict=True)
        )
        raise InputError(f"signal={signal!r}, n_signal={wanted!r}; the records have {counts}.")
    resonant = resonant[rng(seed, "lhco", "signal").permutation(len(resonant))]
    injected, others = resonant[:wanted], _inside(resonant[wanted:], window)
    more = _inside(_events(features(extra), 0), window)
    more = more[rng(seed, "lhco", "extra").permutation(len(more))]
    pure_b = len(more) // 2 if pure_background is None else pure_background
    if not 0 < pure_b < len(more):
        raise InputError(
            f"pure_background={pure_b!r} of {len(more)} extra events; expected some, and some for the test."
        )
    background, test_background = more[:pure_b], more[pure_b:]
    pure, test_signal = others[: len(others) // 2], others[len(others) // 2 :]
    data, validation, tested = _mixed(concatenate([qcd, injected]), seed), 0.5, [test_background, test_signal]
    if convention == "sk_cathode":
        cut = 2 * len(data) // 3
        data, last, validation = data[:cut], data[cut:], 0.25
        tested = [test_background, _inside(last, window), test_signal]
    return Problem(*window.split(data), background, pure, concatenate(tested), window, validation)


def from_array(array: npt.ArrayLike) -> Events:
    """Return events from rows [mjj, mj_min, delta_mj, tau21_min, tau21_max, label], the layout of public preparations.

    Masses in TeV; a sixth column of other things than 0 and 1 (-1 in data) leaves the labels unknown, five columns are
    fine. Raises InputError for another shape, and for masses that look like GeV.
    """
    table = np.asarray(array, np.float64)
    if table.ndim != 2 or table.shape[1] not in (5, 6):
        raise InputError(f"array has shape {table.shape}; expected (n, 6): mjj, {', '.join(COLUMNS)}, label.")
    if len(table) and np.nanmedian(table[:, 0]) > 100:
        raise InputError(f"the median mjj is {np.nanmedian(table[:, 0]):g}; expected TeV, not GeV.")
    labels = table[:, 5] if table.shape[1] == 6 and np.isin(table[:, 5], (0, 1)).all() else None
    return Events(table[:, 0], table[:, 1:5], COLUMNS, labels)


def read_array(path: str | os.PathLike[str], key: str | None = None) -> Events:
    """Return `from_array` of a file: .npy, or .h5 with a plain table (n, 6) at `key` (None: the only one there is).

    Raises InputError for another kind of file, pickled content, or a table that is not there; NotFound without h5py.
    """
    file = Path(path)
    if not file.is_file() or file.suffix not in (".npy", ".h5", ".hdf5"):
        raise InputError(f"{file} is no file that can be read here; expected .npy, .h5 or .hdf5.")
    if file.suffix == ".npy":
        try:
            return from_array(np.load(file, allow_pickle=False))
        except ValueError as error:
            raise InputError(f"{file} holds no plain table of numbers ({error}).") from error
    try:
        import h5py
    except ImportError as error:
        raise NotFound("reading HDF5 files needs h5py: pip install 'hepml-nb[public]'.") from error
    with h5py.File(file, "r") as opened:
        tables: dict[str, Any] = {}
        opened.visititems(lambda name, item: tables.update({name: item}) if getattr(item, "ndim", 0) == 2 else None)
        if key is None and len(tables) == 1:
            key = next(iter(tables))
        if key not in tables:
            raise InputError(f"{file} has the tables {', '.join(tables) or '(none)'}; name one with key=.")
        return from_array(tables[key][:])


def _events(table: Floats, label: int) -> Events:
    return Events(table[:, 0], table[:, 1:], COLUMNS, np.full(len(table), label))


def _inside(events: Events, window: Window) -> Events:
    return events[window.inside(events.mjj)]


def _mixed(events: Events, seed: int) -> Events:
    return events[rng(seed, "order").permutation(len(events))]
