"""What users hand over becomes plain arrays here, once, or is refused with a message that says where it is wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError

__all__ = ["Bools", "Floats", "binary", "column", "labelled", "probabilities", "table", "weighted"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def column(values: npt.ArrayLike, name: str, length: int | None = None) -> Floats:
    """Return `values` as float64 of shape (n,); InputError when empty, not 1D, not finite or of another length."""
    array = _numbers(values, name)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; expected one number per event, shape (n,).")
    if array.size == 0:
        raise InputError(f"{name} is empty; expected at least one event.")
    if length is not None and len(array) != length:
        raise InputError(
            f"{name} has {len(array)} entries, but there are {length} events; one entry per event is needed."
        )
    return _finite(array, name)


def table(values: npt.ArrayLike, name: str) -> Floats:
    """Return `values` as float64 of shape (n, d), n >= 2; a 1D array becomes one column."""
    array = _numbers(values, name)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
        raise InputError(f"{name} has shape {array.shape}; expected (n, d) with at least two events and one dimension.")
    return _finite(array, name)


def binary(labels: npt.ArrayLike, name: str = "labels") -> Bools:
    """Return labels as bool of shape (n,), True for signal; InputError unless they hold 0 and 1 only, and both."""
    array = column(labels, name)
    known = (array == 0) | (array == 1)
    if not known.all():
        odd = np.unique(array[~known])[:5]
        raise InputError(
            f"{name} holds {', '.join(f'{v:g}' for v in odd)} beside 0 and 1 (first at index {int(np.argmin(known))}); "
            f"expected 1 for signal and 0 for background: for one class k against the rest give {name} == k."
        )
    signal: Bools = array == 1
    if signal.all() or not signal.any():
        given, missing = ("signal", "background") if signal.all() else ("background", "signal")
        raise InputError(f"{name} holds {len(signal)} {given} events and no {missing}; both classes are needed.")
    return signal


def labelled(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[Bools, Floats, Floats | None]:
    """Return checked (labels, scores, weights), each of shape (n,)."""
    signal = binary(labels)
    return signal, column(scores, "scores", len(signal)), weighted(weights, signal)


def weighted(weights: npt.ArrayLike | None, signal: Bools) -> Floats | None:
    """Return checked weights of shape (n,): finite, none negative, a positive sum in each class; None stays None."""
    if weights is None:
        return None
    array = column(weights, "weights", len(signal))
    if (array < 0).any():
        raise InputError(
            f"weights holds {int((array < 0).sum())} negative values, first at index {int(np.argmax(array < 0))}; "
            "efficiencies would not rise with the cut, so weights of at least 0 are needed here."
        )
    for name, chosen in (("signal", signal), ("background", ~signal)):
        if array[chosen].sum() <= 0:
            raise InputError(
                f"the weights of all {int(chosen.sum())} {name} events sum to 0; a positive sum is needed."
            )
    return array


def probabilities(values: npt.ArrayLike, length: int) -> Floats:
    """Return checked probabilities of shape (n,), each in [0, 1]."""
    array = column(values, "probabilities", length)
    outside = (array < 0) | (array > 1)
    if outside.any():
        raise InputError(
            f"probabilities holds {int(outside.sum())} values outside [0, 1], first {array[outside][0]:g} at index "
            f"{int(np.argmax(outside))}; pass class probabilities, for a network's logits their sigmoid."
        )
    return array


def _numbers(values: npt.ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an array of numbers ({error}).") from error


def _finite(array: Floats, name: str) -> Floats:
    good = np.isfinite(array)
    if not good.all():
        at = int(np.argmin(good.reshape(len(array), -1).all(axis=1)))
        nan = int(np.isnan(array).sum())
        raise InputError(
            f"{name} holds {nan} nan and {int((~good).sum()) - nan} infinite of {array.size} values, first at index "
            f"{at}; only finite numbers can be compared."
        )
    return array
