"""Is there a bump? Profile-likelihood tests at given masses, and counting in sliding windows of all widths.

The background's parameters are fitted together with the signal's strength s. With L the maximised likelihood,

    q0 = 2 ln L(s, b) / L(0, b')   for s > 0, else 0;      p = 1 - Phi(sqrt q0)      (arXiv:1007.1727)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, ndtr
from scipy.stats import norm

from hepml_nb.anomaly.background import BackgroundFit, design, fit_background
from hepml_nb.anomaly.poisson import Design, Maximum, maximise
from hepml_nb.anomaly.spectrum import Floats, MassSpectrum
from hepml_nb.anomaly.trials import toy_p
from hepml_nb.core import InputError

__all__ = [
    "BumpHunter",
    "LocalTest",
    "Scan",
    "WindowSearch",
    "expected_z",
    "gaussian_template",
    "local_p",
    "scan",
    "scan_toys",
    "window_search",
]


def gaussian_template(mass: float, width: float, edges: npt.ArrayLike) -> Floats:
    """Return the share (b,) of a Gaussian signal in each bin; what lies outside of the edges is lost.

    mass, width: mean and standard deviation, TeV. Raises InputError for a width that is not positive, or where less
    than a tenth of the signal lies between the edges.
    """
    e = np.asarray(edges, float)
    if not width > 0:
        raise InputError(f"width={width!r}; the standard deviation of a signal is positive.")
    shares = np.diff(ndtr((e - mass) / width))
    if shares.sum() < 0.1:
        raise InputError(f"a signal at {mass:g} TeV lies outside of the spectrum, {e[0]:g} to {e[-1]:g} TeV.")
    return np.asarray(shares)


class LocalTest(NamedTuple):
    """signal: fitted events, negative for a deficit, and its error; q0, local p and z (negative for a deficit)."""

    signal: float
    error: float
    q0: float
    p: float
    z: float


def local_p(spectrum: MassSpectrum, template: npt.ArrayLike, order: int = 4) -> LocalTest:
    """Test for a signal of this shape (b,) on a background function with `order` parameters.

    The z-value keeps its sign: deficits have p above one half. Raises InputError for a template of another shape or
    without content, and as `fit_background`.
    """
    shape = _checked(template, spectrum)
    basis = design(spectrum, order)
    found = _strengths(spectrum.counts[None], basis, shape, signed=True)
    z = float(found.z[0])
    return LocalTest(float(found.signal[0]), float(found.error[0]), max(z, 0.0) ** 2, float(norm.sf(z)), z)


def expected_z(background: npt.ArrayLike, signal: npt.ArrayLike, edges: npt.ArrayLike, order: int = 4) -> float:
    """Return the median significance of a signal (b,) on a background (b,): that of the Asimov data set.

    The data set counts exactly what is expected, and is fitted as data are, so that the price of fitting the background
    is in (arXiv:1007.1727, section 4). The strength is tested with the signal's own shape.
    """
    b, s = np.asarray(background, float), np.asarray(signal, float)
    return local_p(MassSpectrum(b + s, edges), s / s.sum(), order).z


class _Found(NamedTuple):
    signal: Floats
    error: Floats
    z: Floats


def _strengths(counts: Floats, basis: Design, template: Floats, signed: bool, null: Maximum | None = None) -> _Found:
    """Return strength, error and z of each row of counts (t, b); unless signed, deficits have z = 0 and no strength."""
    without = maximise(counts, basis) if null is None else null
    mu = np.maximum(without.expected, 1e-300)
    slope = ((counts / mu - 1) * basis.used) @ template
    rows = np.arange(len(counts)) if signed else np.flatnonzero(slope > 0)
    signal, error, z = (np.zeros(len(counts)) for _ in range(3))
    if not len(rows):
        return _Found(signal, error, z)
    some = counts[rows]
    first = slope[rows] / np.maximum((template**2 / mu[rows]) @ basis.used, 1e-300)
    first = np.maximum(first, 0.0)  # from above: every bin expects events then
    fitted = maximise(some, basis, template, (without.theta[rows], first))
    gain = np.maximum(without.twice_nll[rows] - fitted.twice_nll, 0.0)
    signal[rows], z[rows] = fitted.strength, np.sign(fitted.strength) * np.sqrt(gain)
    error[rows] = np.sqrt(np.linalg.inv(fitted.information)[:, -1, -1])
    return _Found(signal, error, z)


@dataclass(frozen=True, eq=False)
class Scan:
    """Tests at all masses (m,): signal events, their errors, z (0 for deficits) and local p (m,)."""

    masses: Floats
    signal: Floats
    errors: Floats
    z: Floats
    fit: BackgroundFit = field(repr=False)

    @property
    def q0(self) -> Floats:
        """The test statistic (m,)."""
        return np.asarray(self.z**2)

    @property
    def p(self) -> Floats:
        """Local p-values (m,); one half where there is no excess."""
        return np.asarray(norm.sf(self.z))

    @property
    def best(self) -> int:
        """Index of the mass with the largest excess."""
        return int(np.argmax(self.z))


def scan(spectrum: MassSpectrum, masses: npt.ArrayLike, relative_width: float = 0.03, order: int = 4) -> Scan:
    """Test for Gaussian signals at masses (m,) in TeV, each `relative_width` times its mass wide.

    Raises InputError for a mass outside of the spectrum and as `fit_background`.
    """
    m = np.atleast_1d(np.asarray(masses, float))
    found = _scan(spectrum.counts[None], spectrum, m, relative_width, order)
    return Scan(m, found.signal[0], found.error[0], found.z[0], fit_background(spectrum, order))


def scan_toys(fit: BackgroundFit, masses: npt.ArrayLike, relative_width: float, n: int, seed: int = 0) -> Floats:
    """Return q0 (n, m) of the same scan of n spectra drawn from the fitted background."""
    like = MassSpectrum(fit.expected, fit.spectrum.edges)
    m = np.atleast_1d(np.asarray(masses, float))
    return np.asarray(_scan(fit.toys(n, seed), like, m, relative_width, fit.order).z ** 2)


def _scan(counts: Floats, like: MassSpectrum, masses: Floats, relative_width: float, order: int) -> _Found:
    basis = design(like, order)
    null = maximise(counts, basis)
    templates = [gaussian_template(mass, relative_width * mass, like.edges) for mass in masses]
    each = [_strengths(counts, basis, template, signed=False, null=null) for template in templates]
    return _Found(*(np.stack(one, axis=1) for one in zip(*each, strict=True)))


class WindowSearch(NamedTuple):
    """Windows of bins: first (w,) and one behind the last (w,), Poisson p of each in the data (w,)."""

    first: npt.NDArray[np.int64]
    behind: npt.NDArray[np.int64]
    p: Floats


@dataclass(frozen=True, eq=False)
class BumpHunter:
    """What counting in sliding windows found: the window (TeV), its counts, its smallest p and the global p.

    statistic: -ln of the smallest p, in data and in the toys (n,). error: binomial, of the global p.
    """

    low: float
    high: float
    observed: float
    expected: float
    local_p: float
    global_p: float
    error: float
    statistic: float
    toys: Floats = field(repr=False)
    windows: WindowSearch = field(repr=False)


def window_search(
    spectrum: MassSpectrum, order: int = 4, widths: tuple[int, int] = (2, 10), toys: int = 1000, seed: int = 0
) -> BumpHunter:
    """Look for the most significant excess in windows of `widths` bins (least, most), at every place.

    The background is fitted to the whole spectrum; p of a window is the Poisson probability to count as many or more;
    the smallest p is compared with that of toys, each fitted anew, which makes the global p-value (arXiv:1101.0390).
    The place moves by one bin and no sidebands are demanded. Raises InputError for widths that do not fit.
    """
    narrow, wide = widths
    if not 1 <= narrow <= wide < len(spectrum) or toys < 1:
        raise InputError(f"widths={widths!r}, toys={toys!r} for {len(spectrum)} bins; expected 1 <= least <= most.")
    fit = fit_background(spectrum, order)
    sizes = np.concatenate([np.full(len(spectrum) - size + 1, size) for size in range(narrow, wide + 1)])
    first = np.concatenate([np.arange(len(spectrum) - size + 1) for size in range(narrow, wide + 1)])
    found = WindowSearch(first, first + sizes, _window_p(spectrum.counts[None], fit.expected[None], first, sizes)[0])
    drawn = fit.toys(toys, seed)
    refitted = maximise(drawn, design(MassSpectrum(fit.expected, spectrum.edges), order)).expected
    drawn_best = -np.log(np.maximum(_window_p(drawn, refitted, first, sizes).min(axis=1), 1e-300))
    best = int(np.argmin(found.p))
    statistic = float(-np.log(max(float(found.p[best]), 1e-300)))
    share, error = toy_p(drawn_best, statistic)
    inside = slice(int(first[best]), int(found.behind[best]))
    return BumpHunter(
        low=float(spectrum.edges[inside.start]),
        high=float(spectrum.edges[inside.stop]),
        observed=float(spectrum.counts[inside].sum()),
        expected=float(fit.expected[inside].sum()),
        local_p=float(found.p[best]),
        global_p=float(share[0]),
        error=float(error[0]),
        statistic=statistic,
        toys=drawn_best,
        windows=found,
    )


def _window_p(counts: Floats, expected: Floats, first: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Floats:
    """Return P(as many or more) of each window (t, w); 1 where there is a deficit, which is no bump."""
    n, b = (np.pad(np.cumsum(one, axis=1), ((0, 0), (1, 0))) for one in (counts, expected))
    n, b = (one[:, first + sizes] - one[:, first] for one in (n, b))
    return np.where(n > b, gammainc(np.maximum(n, 1e-12), b), 1.0)


def _checked(template: npt.ArrayLike, spectrum: MassSpectrum) -> Floats:
    shape = np.asarray(template, float)
    if shape.shape != spectrum.counts.shape:
        raise InputError(f"the template has shape {shape.shape}; the spectrum has {len(spectrum)} bins.")
    if not np.isfinite(shape).all() or (shape < 0).any() or shape.sum() <= 0:
        raise InputError("the template has negative or no content; expected the signal's share of each bin.")
    return shape
