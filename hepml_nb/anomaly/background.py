"""The smooth background of a dijet search: functions of three to five parameters, their fit, and how many are needed.

    N(m) = p0 (1 - x)^p1 x^-(p2 + p3 ln x + p4 ln^2 x),   x = m / sqrt(s)

as in dijet searches since CDF and at the LHC (arXiv:1911.03947 uses four parameters); integrated over the bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2 as chi2_law
from scipy.stats import f as f_law

from hepml_nb.anomaly.poisson import Design, deviance, maximise
from hepml_nb.anomaly.spectrum import Floats, MassSpectrum, MassWindow
from hepml_nb.core import InputError, rng

__all__ = [
    "ORDERS",
    "SQRT_S",
    "BackgroundFit",
    "OrderChoice",
    "OrderTest",
    "choose_order",
    "design",
    "dijet",
    "fit_background",
]

SQRT_S = 13.0
"""Collision energy in TeV."""

ORDERS = (3, 4, 5)
"""Numbers of parameters that the function may have."""

_LEAST = 10.0  # events that a bin of a goodness of fit should expect
_NODES = 3  # of Gauss and Legendre in each bin


def dijet(mass: npt.ArrayLike, parameters: npt.ArrayLike) -> Floats:
    """Return events per TeV at masses (n,) in TeV for p0 and up to four exponents (k,)."""
    p = np.asarray(parameters, float)
    return np.asarray(p[0] * np.exp(_powers(np.asarray(mass, float), len(p))[..., 1:] @ p[1:]))


def _powers(mass: Floats, order: int) -> Floats:
    """Return the derivatives (..., order) of ln N by ln p0, p1, p2, ...: 1, ln(1 - x), -ln x, -ln^2 x, -ln^3 x."""
    x = mass / SQRT_S
    log = np.log(x)
    return np.stack([np.ones_like(x), np.log1p(-x), *(-(log**i) for i in range(1, order - 1))], axis=-1)


class _Basis(NamedTuple):
    """A design and the matrix (k, k) that turns its parameters into ln p0, p1, p2, ..."""

    design: Design
    to_powers: Floats


def design(spectrum: MassSpectrum, order: int = 4, window: MassWindow | None = None) -> Design:
    """Return the design of a fit with so many parameters that leaves the window out: see `poisson.maximise`."""
    return _basis(spectrum, order, window).design


def _basis(spectrum: MassSpectrum, order: int, window: MassWindow | None) -> _Basis:
    if order not in ORDERS:
        raise InputError(f"order={order!r} is no number of parameters; the dijet function has {ORDERS} of them.")
    if spectrum.edges[-1] >= SQRT_S:
        raise InputError(f"the last edge is {spectrum.edges[-1]:g} TeV; the function ends at {SQRT_S:g} TeV.")
    used = np.ones(len(spectrum)) if window is None else (~spectrum.bins_in(window)).astype(float)
    filled = int((spectrum.counts * used > 0).sum())
    if filled <= order or used.sum() <= order:
        where = "" if window is None else " outside of the window"
        raise InputError(
            f"{filled} of {int(used.sum())} bins{where} hold events; a function of {order} parameters needs more than "
            f"{order} of them. Take fewer parameters, a looser cut or more events."
        )
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    masses = spectrum.centres[:, None] + 0.5 * spectrum.widths[:, None] * node
    weights = 0.5 * spectrum.widths[:, None] * weight
    raw = _powers(masses, order)
    # a rough fit of the logarithms makes the reference under which the basis is orthonormal
    middle = _powers(spectrum.centres, order)
    root = np.sqrt(np.maximum(spectrum.counts, 1e-3) * used)
    rough = np.linalg.lstsq(middle * root[:, None], np.log((spectrum.counts + 0.5) / spectrum.widths) * root)[0]
    share = weights * used[:, None] * np.exp(np.clip(raw @ rough, -300, 300))
    share /= share.sum()
    triangle = np.linalg.qr((raw * np.sqrt(share)[..., None]).reshape(-1, order), mode="r")
    to_powers = np.linalg.inv(triangle)
    return _Basis(Design(raw @ to_powers, weights, used, triangle @ rough), to_powers)


@dataclass(frozen=True, eq=False)
class BackgroundFit:
    """A fitted background. expected (b,): events in all bins, the masked ones too; covariance (b, b) of that.

    parameters (k,): p0 in events per TeV, p1, ...; parameter_covariance (k, k), of ln p0, p1, ...
    used (b,): the bins that were fitted. deviance: twice the log ratio of saturated to fitted likelihood.
    """

    spectrum: MassSpectrum
    order: int
    expected: Floats
    covariance: Floats = field(repr=False)
    parameters: Floats
    parameter_covariance: Floats = field(repr=False)
    used: npt.NDArray[np.bool_] = field(repr=False)
    deviance: float

    @property
    def errors(self) -> Floats:
        """One standard deviation of the expected events of each bin (b,)."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def goodness(self) -> tuple[float, int, float]:
        """Deviance, degrees of freedom and p-value after neighbours that expect too little (10) are joined."""
        counts, expected = _joined(self.spectrum.counts[self.used], self.expected[self.used])
        freedom = max(len(counts) - self.order, 1)
        value = float(deviance(counts, expected, np.ones(len(counts))))
        return value, freedom, float(chi2_law.sf(value, freedom))

    @property
    def pulls(self) -> Floats:
        """Counted minus expected over the square root of the expected (b,), without the error of the fit."""
        return np.asarray((self.spectrum.counts - self.expected) / np.sqrt(np.maximum(self.expected, 1e-12)))

    def density(self, mass: npt.ArrayLike) -> Floats:
        """Return events per TeV at masses (n,), TeV."""
        return dijet(mass, self.parameters)

    def within(self, window: MassWindow) -> tuple[float, float]:
        """Return the events that the function expects in the window, and the error that the fit gives them.

        Raises InputError as `MassSpectrum.bins_in`.
        """
        inside = self.spectrum.bins_in(window)
        return float(self.expected[inside].sum()), float(np.sqrt(self.covariance[np.ix_(inside, inside)].sum()))

    def toys(self, n: int, seed: int = 0) -> Floats:
        """Return counts (n, b) of spectra drawn from the fitted background."""
        return rng(seed, "background toys").poisson(self.expected, (n, len(self.expected))).astype(float)


def fit_background(spectrum: MassSpectrum, order: int = 4, window: MassWindow | None = None) -> BackgroundFit:
    """Fit the function with `order` parameters to the counts; a window is left out and its content predicted.

    Raises InputError for an order other than 3, 4, 5, for fewer filled bins than parameters, and for a window that is
    not made of bins.
    """
    basis, to_powers = _basis(spectrum, order, window)
    found = maximise(spectrum.counts[None], basis)
    expected, slopes = basis.expected(found.theta)
    inverse = np.linalg.inv(found.information[0])
    powers = to_powers @ found.theta[0]
    return BackgroundFit(
        spectrum=spectrum,
        order=order,
        expected=expected[0],
        covariance=slopes[0] @ inverse @ slopes[0].T,
        parameters=np.array([np.exp(powers[0]), *powers[1:]]),
        parameter_covariance=to_powers @ inverse @ to_powers.T,
        used=basis.used > 0,
        deviance=float(deviance(spectrum.counts, expected[0], basis.used)),
    )


class OrderTest(NamedTuple):
    """Is one more parameter worth it? Deviances (bins joined), p-values of the F-test and the likelihood ratio."""

    smaller: int
    larger: int
    deviances: tuple[float, float]
    f: float
    p_f: float
    p_likelihood: float


class OrderChoice(NamedTuple):
    """The chosen number of parameters, the tests that led there and the fits by order."""

    order: int
    tests: tuple[OrderTest, ...]
    fits: dict[int, BackgroundFit]


def choose_order(
    spectrum: MassSpectrum,
    orders: Sequence[int] = ORDERS,
    level: float = 0.05,
    test: Literal["F", "likelihood"] = "F",
    window: MassWindow | None = None,
) -> OrderChoice:
    """Add parameters as long as the next one is significant at `level`; the first that is not ends it.

    The F-test compares what one more parameter gains with the deviance per degree of freedom that is left, so that a
    function that fits badly for other reasons does not collect parameters; the likelihood ratio takes Wilks' chi2.
    Raises InputError for an unknown test, orders that do not rise, and as `fit_background`.
    """
    if test not in ("F", "likelihood"):
        raise InputError(f"test={test!r} is unknown; use 'F' or 'likelihood'.")
    if list(orders) != sorted(set(orders)) or not orders:
        raise InputError(f"orders={list(orders)!r} do not rise; expected for example {ORDERS}.")
    fits = {order: fit_background(spectrum, order, window) for order in orders}
    tests = tuple(_compare(fits[a], fits[b]) for a, b in pairwise(orders))
    chosen = orders[0]
    for one in tests:
        if (one.p_f if test == "F" else one.p_likelihood) >= level:
            break
        chosen = one.larger
    return OrderChoice(chosen, tests, fits)


def _compare(small: BackgroundFit, large: BackgroundFit) -> OrderTest:
    counts, both = small.spectrum.counts[small.used], (small.expected[small.used], large.expected[small.used])
    groups = _groups(both[1])
    joined = [_sum(counts, groups), *(_sum(one, groups) for one in both)]
    ones = np.ones(len(joined[0]))
    first, second = (float(deviance(joined[0], one, ones)) for one in joined[1:])
    more, freedom = large.order - small.order, max(len(ones) - large.order, 1)
    f = (first - second) / more / (second / freedom)
    gain = max(small.deviance - large.deviance, 0.0)
    p_f = float(f_law.sf(max(f, 0.0), more, freedom))
    return OrderTest(small.order, large.order, (first, second), f, p_f, float(chi2_law.sf(gain, more)))


def _joined(counts: Floats, expected: Floats) -> tuple[Floats, Floats]:
    groups = _groups(expected)
    return _sum(counts, groups), _sum(expected, groups)


def _groups(expected: Floats) -> npt.NDArray[np.int64]:
    """Return where groups of neighbouring bins begin, each expecting `_LEAST` events; the last takes what is left."""
    starts, gathered = [0], 0.0
    for i, one in enumerate(expected):
        if gathered >= _LEAST and expected[i:].sum() >= _LEAST:
            starts.append(i)
            gathered = 0.0
        gathered += float(one)
    return np.array(starts)


def _sum(values: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.add.reduceat(values, starts))
