"""Simulated falling histograms with bumps, thousands at once, and the significance that the truth gives each bin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, xlogy

from hepml_nb.anomaly.spectrum import Floats
from hepml_nb.core import InputError, rng, suggest

__all__ = ["FAMILIES", "LEARNT", "HistogramConfig", "Histograms", "bumps_in_bins", "ideal_z", "shapes", "simulate"]

_REACH = 4  # bins on either side that a template of one bin's width covers
_AT_ONCE = 1000
_STEPS, _HALVINGS = 40, 16
_INSIDE = 0.999  # of the way to the strength at which some bin would expect nothing
_TRIES = 200


@dataclass(frozen=True)
class HistogramConfig:
    """What is simulated; ranges are (least, most) and drawn uniformly, `top` in its logarithm.

    families: of falling functions, all equally often. bins: how many. top: events expected in the fullest bin. fall:
    ln of the fullest over the emptiest bin's expectation. signals: share of the histograms with a bump. strength: its
    median significance, the background known. width: its standard deviation in bins.
    """

    families: tuple[str, ...] = ("exponential", "power", "dijet-3", "dijet-4", "dijet-5", "polynomial", "process")
    bins: tuple[int, int] = (40, 100)
    top: tuple[float, float] = (30.0, 3e5)
    fall: tuple[float, float] = (2.0, 12.0)
    signals: float = 0.8
    strength: tuple[float, float] = (0.0, 12.0)
    width: tuple[float, float] = (0.7, 1.5)

    def __post_init__(self) -> None:
        for name in self.families:
            if name not in FAMILIES:
                raise InputError(f"families has {name!r}{suggest(name, FAMILIES)}")
        for name, least in (("bins", 10), ("top", 1e-3), ("fall", 0.0), ("strength", 0.0), ("width", 0.1)):
            low, high = getattr(self, name)
            if not least <= low <= high < np.inf:
                raise InputError(f"{name}={(low, high)!r}; expected (least, most), rising and at least {least:g}.")
        if not self.families or not 0 <= self.signals <= 1:
            raise InputError(f"families={self.families!r}, signals={self.signals!r}; expected names, a share.")


class Histograms(NamedTuple):
    """Histograms (n, b), shorter ones padded behind their last bin: what was drawn and what is true.

    counts: events. background: expected. valid: True for bins that exist. z: ideal significance of each bin. place,
    width (n,): of the bump, in bins from the first edge. signal (n,): expected events of it, 0 where there is none.
    """

    counts: Floats
    background: Floats
    valid: npt.NDArray[np.bool_]
    z: Floats
    place: Floats
    width: Floats
    signal: Floats


def _exponential(u: Floats, generator: np.random.Generator) -> Floats:
    return np.asarray(-u)


def _power(u: Floats, generator: np.random.Generator) -> Floats:
    return -np.log1p(u / np.exp(generator.uniform(np.log(0.05), np.log(3.0), (len(u), 1))))


def _dijet(order: int) -> Callable[[Floats, np.random.Generator], Floats]:
    def values(u: Floats, generator: np.random.Generator) -> Floats:
        first, last = generator.uniform(0.05, 0.3, (len(u), 1)), generator.uniform(0.4, 0.8, (len(u), 1))
        x = first + (last - first) * u
        log = np.log(x)
        powers = generator.normal((12.0, 5.0, 0.0, 0.0)[:order], (6.0, 3.0, 0.7, 0.2)[:order], (len(u), order))
        terms = [np.log1p(-x), *(-(log**i) for i in range(1, order))]
        return np.asarray(sum(powers[:, [i]] * term for i, term in enumerate(terms)))

    return values


def _polynomial(u: Floats, generator: np.random.Generator) -> Floats:
    p = generator.normal((-1.0, 0.0, 0.0), (0.3, 0.5, 0.3), (len(u), 3))
    return np.asarray(p[:, [0]] * u + p[:, [1]] * u**2 + p[:, [2]] * u**3)


def _process(u: Floats, generator: np.random.Generator) -> Floats:
    """Random cosines: a Gaussian process around a line, with a length of a third of the spectrum or more."""
    waves, length = 40, generator.uniform(0.3, 1.0, (len(u), 1))
    frequencies = generator.normal(size=(len(u), waves)) / length
    phases = generator.uniform(0, 2 * np.pi, (len(u), waves))
    bends = sum(np.cos(frequencies[:, [i]] * u + phases[:, [i]]) for i in range(waves)) * np.sqrt(2 / waves)
    return np.asarray(0.3 * length * bends - u)


def _two_exponentials(u: Floats, generator: np.random.Generator) -> Floats:
    steep, share = generator.uniform(4.0, 12.0, (len(u), 1)), generator.uniform(0.02, 0.5, (len(u), 1))
    return np.log((1 - share) * np.exp(-steep * u) + share * np.exp(-steep * u / 4))


def _power_exponential(u: Floats, generator: np.random.Generator) -> Floats:
    offset = generator.uniform(0.1, 1.0, (len(u), 1))
    power, steep = generator.uniform(1.0, 6.0, (len(u), 1)), generator.uniform(1.0, 6.0, (len(u), 1))
    return np.asarray(-power * np.log1p(u / offset) - steep * u)


FAMILIES: Mapping[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "exponential": _exponential,
    "power": _power,
    "dijet-3": _dijet(2),
    "dijet-4": _dijet(3),
    "dijet-5": _dijet(4),
    "polynomial": _polynomial,
    "process": _process,
    "two-exponentials": _two_exponentials,
    "power-exponential": _power_exponential,
}
"""ln f(u) (n, b) up to a constant and a factor, at places u (n, b) from 0 to 1; each row has parameters of its own."""

LEARNT = HistogramConfig.__dataclass_fields__["families"].default
"""The families that a network learns from by default; the other two are kept for tests."""


def shapes(family: str, places: npt.ArrayLike, seed: int | np.random.Generator = 0) -> Floats:
    """Return h (n, b) of random members of a family at places (n, b) from 0 to 1: ln f falls from 0 to -1.

    Members that rise anywhere are drawn anew. Raises InputError for an unknown family.
    """
    if family not in FAMILIES:
        raise InputError(f"family={family!r}{suggest(family, FAMILIES)}")
    u = np.asarray(places, float)
    generator = seed if isinstance(seed, np.random.Generator) else rng(seed, "shapes", family)
    found, left = np.zeros_like(u), np.arange(len(u))
    for _ in range(_TRIES):
        if not len(left):
            return found
        value = FAMILIES[family](u[left], generator)
        high, low = value[:, :1], value[:, -1:]
        good = (np.diff(value, axis=1) <= 0).all(axis=1) & (high > low)[:, 0]
        found[left[good]] = ((value - high) / (high - low + ~good[:, None]))[good]
        left = left[~good]
    raise InputError(f"{len(left)} members of {family!r} still rise after {_TRIES} tries.")


def bumps_in_bins(place: npt.ArrayLike, width: npt.ArrayLike, bins: int) -> Floats:
    """Return the share (n, b) of Gaussian signals in bins 0 to b; place, width (n,): in bins from the first edge."""
    at, sigma = (np.asarray(x, float).reshape(-1, 1) for x in (place, width))
    return np.asarray(np.diff(ndtr((np.arange(bins + 1) - at) / sigma), axis=1))


def simulate(n: int, config: HistogramConfig | None = None, seed: int | np.random.Generator = 0) -> Histograms:
    """Return n histograms and what is true of them.

    A falling function of a random family, number of bins, content and steepness; on a share of them a Gaussian signal
    at a random place, as wide and as strong as the configuration says; Poisson counts; the ideal significance of them.
    """
    config = config or HistogramConfig()
    generator = seed if isinstance(seed, np.random.Generator) else rng(seed, "histograms")
    most = config.bins[1]
    bins = generator.integers(config.bins[0], most + 1, n)
    valid = np.arange(most) < bins[:, None]
    places = np.minimum((np.arange(most) + 0.5) / bins[:, None], 1.0)
    family = generator.integers(0, len(config.families), n)
    logs = np.zeros((n, most))
    for i, name in enumerate(config.families):
        logs[family == i] = shapes(name, places[family == i], generator)
    least, fullest = np.log(config.top).tolist()
    top = np.exp(generator.uniform(least, fullest, (n, 1)))
    background = top * np.exp(generator.uniform(*config.fall, (n, 1)) * logs) * valid
    place = generator.uniform(0.05, 0.95, n) * bins
    width = generator.uniform(*config.width, n)
    share = bumps_in_bins(place, width, most) * valid
    wanted = generator.uniform(*config.strength, n) * (generator.random(n) < config.signals)
    signal = _events(wanted, share, np.where(valid, background, 1.0))
    counts = generator.poisson(background + signal[:, None] * share).astype(float)
    return Histograms(counts, background, valid, ideal_z(counts, background, valid), place, width, signal)


def _events(strength: Floats, share: Floats, background: Floats) -> Floats:
    """Return the events (n,) whose Asimov significance on the known background is `strength` (n,)."""
    low, high = np.zeros(len(strength)), 2 * strength**2 + 10 * strength * np.sqrt((share * background).sum(axis=1))
    ratio = share / background
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        s = middle[:, None]
        squared = 2 * ((background + s * share) * np.log1p(s * ratio) - s * share).sum(axis=1)
        low, high = np.where(squared < strength**2, middle, low), np.where(squared < strength**2, high, middle)
    return np.asarray(high * (strength > 0))


def ideal_z(
    counts: npt.ArrayLike, background: npt.ArrayLike, valid: npt.ArrayLike | None = None, width: float = 1.0
) -> Floats:
    """Return the significance (n, b) of a Gaussian signal in the middle of each bin where the background is known.

    Z = sign(s) sqrt(2 ln L(s) / L(0)) with the strength s of largest likelihood, negative for a deficit; width: of the
    signal in bins. The likelihood counts the bins within four of the tested one. valid (n, b): bins that exist.
    Raises InputError for shapes that differ, negative counts, or an existing bin that expects nothing.
    """
    n, b = np.atleast_2d(np.asarray(counts, float)), np.atleast_2d(np.asarray(background, float))
    exists = np.ones(n.shape, bool) if valid is None else np.atleast_2d(np.asarray(valid, bool))
    if n.shape != b.shape or n.shape != exists.shape or not width > 0:
        raise InputError(f"counts {n.shape}, background {b.shape}, valid {exists.shape}, width={width!r} do not fit.")
    if not (n >= 0).all() or not np.isfinite(n).all() or not (b[exists] > 0).all():
        raise InputError("ideal_z needs counts of at least 0, and an expectation above 0 in every bin.")
    template = bumps_in_bins(_REACH + 0.5, width, 2 * _REACH + 1)[0]
    parts = [slice(i, i + _AT_ONCE) for i in range(0, len(n), _AT_ONCE)]
    return np.concatenate([_ideal_z(n[p], b[p], exists[p], template) for p in parts])


def _ideal_z(counts: Floats, background: Floats, valid: npt.NDArray[np.bool_], template: Floats) -> Floats:
    def around(x: Floats) -> Floats:
        """Return each bin's neighbours (k, n, b), zeros beyond the ends."""
        padded = np.pad(x, ((0, 0), (_REACH, _REACH)))
        return np.stack([padded[:, i : i + x.shape[1]] for i in range(len(template))])

    n = around(counts * valid)
    t = template[:, None, None] * around(valid.astype(float))
    ratio = t / np.where(t > 0, around(background), 1.0)  # of signal to background, for one signal event
    total = t.sum(axis=0)
    low = -_INSIDE / np.maximum(ratio.max(axis=0), 1e-300)
    s = np.zeros_like(counts)
    for _ in range(_STEPS):  # the slope of ln L falls and is convex: Newton's steps come from one side
        per = ratio / (1 + s * ratio)
        slope, bend = (n * per).sum(axis=0) - total, np.maximum((n * per**2).sum(axis=0), 1e-300)
        new = np.where(valid, np.maximum(s + slope / bend, (s + low) / 2), 0.0)
        done = np.abs(new - s) <= 1e-6 * (1 + np.abs(new))
        s = new
        if done.all():
            break
    gain = xlogy(n, 1 + s * ratio).sum(axis=0) - s * total
    return np.asarray(np.sign(s) * np.sqrt(2 * np.maximum(gain, 0.0)))
