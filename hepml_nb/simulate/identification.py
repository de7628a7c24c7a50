"""Toy of particle identification: energy loss and time of flight of pions, kaons, protons, with signals missing.

The probability of every species given what was seen is known exactly, so that a classifier has an optimum to be
compared with. Resolutions are those of a detector of the ALICE kind (arXiv:1402.4476), Gaussian and without tails.
"""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

__all__ = ["SIGNALS", "SPECIES", "expected", "identification", "posterior"]

Array = npt.NDArray[np.float64]

SPECIES = ("pion", "kaon", "proton")
"""Names of the labels 0, 1, 2."""
_MASS = np.array([0.13957, 0.49368, 0.93827])
_SHARE = np.array([0.5, 0.25, 0.25])
SIGNALS = ("momentum", "its", "tpc", "tof")
"""momentum (GeV, exact), energy loss in silicon and gas over that of a minimum-ionising particle, 1 / beta."""
_ERROR = {"its": 0.11, "tpc": 0.055, "tof": 0.0065}  # of the first two relative; 80 ps over 3.7 m
_LOW = 0.5  # GeV; below, few tracks reach the time of flight


def expected(momentum: npt.ArrayLike) -> dict[str, Array]:
    """Return the mean signal of every species at a momentum (GeV): {signal: (..., 3)}.

    Energy loss by the Bethe formula without density effect, in units of its minimum; time of flight by 1 / beta.
    """
    gamma_beta = np.asarray(momentum, float)[..., None] / _MASS
    beta2 = gamma_beta**2 / (1 + gamma_beta**2)

    def loss(excitation: float, g: Array, b2: Array) -> Array:
        return np.asarray((np.log(2 * 0.511e6 * g**2 / excitation) - b2) / b2)

    least = {name: loss(e, np.array(3.5), np.array(3.5**2 / (1 + 3.5**2))) for name, e in (("its", 173), ("tpc", 188))}
    return {
        "its": loss(173, gamma_beta, beta2) / least["its"],
        "tpc": loss(188, gamma_beta, beta2) / least["tpc"],
        "tof": 1 / np.sqrt(beta2),
    }


def identification(n: int, seed: int = 0, *, missing: float = 0.3) -> ak.Array:
    """Return `n` tracks as records of SIGNALS and `label`, signals that are missing as NaN.

    missing: the share that ITS and TPC lose at random. The time of flight is there for 20 % of the tracks below 0.5
    GeV and for (1 - missing) above, so whether it is there depends on what is seen but not on the species. Momenta are
    log-uniform from 0.2 to 3 GeV. Raises InputError for n < 1 or missing outside [0, 1).
    """
    if n < 1 or not 0 <= missing < 1:
        raise InputError(f"n={n}, missing={missing}; expected n of at least 1 and missing in [0, 1).")
    generator = rng(seed, "identification", n)
    label = generator.choice(3, size=n, p=_SHARE)
    momentum = np.exp(generator.uniform(np.log(0.2), np.log(3.0), n))
    columns: dict[str, npt.NDArray[np.generic]] = {"momentum": momentum}
    for name, mean in expected(momentum).items():
        centre = mean[np.arange(n), label]
        value = centre + _width(name, centre) * generator.standard_normal(n)
        there = generator.random(n) < np.where((name == "tof") & (momentum < _LOW), 0.2, 1 - missing)
        columns[name] = np.where(there, value, np.nan)
    return ak.zip({**columns, "label": label.astype(np.int8)})


def posterior(tracks: ak.Array | Mapping[str, Array]) -> Array:
    """Return the exact probability of every species given the signals that are there: (n, 3)."""
    momentum = np.asarray(tracks["momentum"], float)
    log_p = np.broadcast_to(np.log(_SHARE), (len(momentum), 3)).copy()
    for name, mean in expected(momentum).items():
        value, width = np.asarray(tracks[name], float)[:, None], _width(name, mean)
        log_p += np.nan_to_num(-0.5 * ((value - mean) / width) ** 2 - np.log(width)) * np.isfinite(value)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _width(name: str, mean: Array) -> Array:
    return np.asarray(_ERROR[name] * (mean if name != "tof" else np.ones_like(mean)))
