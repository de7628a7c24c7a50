"""A Gaussian process as smooth background: no function is chosen, only how fast the spectrum may bend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from hepml_nb.anomaly.background import fit_background
from hepml_nb.anomaly.spectrum import Floats, MassSpectrum, MassWindow

_ANY = (1e-12, 1e12)  # what holds the hyperparameters is their prior
_PRIOR = {"amplitude": 2.0, "fall": 0.5, "length": 0.7, "slope": 0.7}  # width of each logarithm around its start
_FREEDOM = 10.0  # errors within which the mean's parameters may move

__all__ = ["DijetKernel", "GpBackground", "fit_gp"]


class DijetKernel(Kernel):  # type: ignore[misc]  # scikit-learn ships no types
    """The background kernel of arXiv:1709.05681: an amplitude that falls and a length that grows with the mass.

    k(x, y) = A exp((2d - x - y) / 2a) sqrt(2 l(x) l(y) / (l(x)^2 + l(y)^2)) exp(-(x - y)^2 / (l(x)^2 + l(y)^2)),
    l(x) = b x + c, all in TeV; A is the variance at the mass `offset` (d of the paper, exp((2d - x - y) / 2a) here).
    """

    def __init__(
        self,
        amplitude: float = 1.0,
        fall: float = 0.5,
        slope: float = 0.3,
        length: float = 0.5,
        offset: float = 0.0,
    ) -> None:
        self.amplitude, self.fall, self.slope, self.length, self.offset = amplitude, fall, slope, length, offset

    # scikit-learn finds hyperparameters by the prefix of these names and sorts them by it
    @property
    def hyperparameter_amplitude(self) -> Any:
        """A, in events squared."""
        return Hyperparameter("amplitude", "numeric", _ANY)

    @property
    def hyperparameter_fall(self) -> Any:
        """a, TeV."""
        return Hyperparameter("fall", "numeric", _ANY)

    @property
    def hyperparameter_length(self) -> Any:
        """c, TeV."""
        return Hyperparameter("length", "numeric", _ANY)

    @property
    def hyperparameter_slope(self) -> Any:
        """b, a pure number."""
        return Hyperparameter("slope", "numeric", _ANY)

    def __call__(self, x: Floats, y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """Return the covariance (n, m), and with its gradient (n, n, 4) by the logarithms of A, a, c, b."""
        first = np.atleast_2d(x)[:, :1]
        second = (first if y is None else np.atleast_2d(y)[:, :1]).T
        here, there = self.slope * first + self.length, self.slope * second + self.length
        squares, apart = here**2 + there**2, (first - second) ** 2
        middle = (first + second) / 2
        value = self.amplitude * np.exp((self.offset - middle) / self.fall) * np.sqrt(2 * here * there / squares)
        value = value * np.exp(-apart / squares)
        if not eval_gradient:
            return value

        def by_length(change_here: Any, change_there: Any) -> Floats:
            """Return d ln k for changes of both lengths."""
            both = 2 * (here * change_here + there * change_there)
            prefactor = 0.5 * (change_here / here + change_there / there - both / squares)
            return np.asarray(prefactor + apart * both / squares**2)

        logs = (
            np.ones_like(value),
            (middle - self.offset) / self.fall,
            self.length * by_length(1.0, 1.0),
            self.slope * by_length(first, second),
        )
        return value, np.stack([value * one for one in logs], axis=-1)

    def diag(self, x: Floats) -> Floats:
        """Return the variance (n,)."""
        return np.asarray(self.amplitude * np.exp((self.offset - np.atleast_2d(x)[:, 0]) / self.fall))

    def is_stationary(self) -> bool:
        """Return False: it depends on the mass itself."""
        return False


@dataclass(frozen=True, eq=False)
class GpBackground:
    """A background as Gaussian process: expected events (b,) of all bins and their covariance (b, b).

    kernel: with the hyperparameters of largest marginal likelihood. used (b,): bins that were fitted.
    """

    spectrum: MassSpectrum
    expected: Floats
    covariance: Floats = field(repr=False)
    kernel: DijetKernel
    log_likelihood: float
    used: Any = field(repr=False)

    @property
    def errors(self) -> Floats:
        """One standard deviation of the expected events of each bin (b,)."""
        return np.sqrt(np.diag(self.covariance))

    def within(self, window: MassWindow) -> tuple[float, float]:
        """Return expected events in the window and their error."""
        inside = self.spectrum.bins_in(window)
        return float(self.expected[inside].sum()), float(np.sqrt(self.covariance[np.ix_(inside, inside)].sum()))


def fit_gp(spectrum: MassSpectrum, window: MassWindow | None = None) -> GpBackground:
    """Fit a Gaussian process to the counts; a window is left out and its content predicted.

    Its mean is the three-parameter dijet function, as in the paper, whose parameters stay free (within ten of their
    errors, to first order), and the process is what the data differ from it by. The hyperparameters maximise the
    marginal likelihood times a log-normal prior, without which an amplitude that the data do not need has no best
    value. It keeps the length above the width of a narrow resonance, so that the process cannot follow one.
    Counts are taken as Gaussian with the variance that the mean expects (the counts' own would pull the result
    down), which needs well filled bins: where it expects fewer than five events the error is only a guide.
    Raises InputError as `fit_background`.
    """
    mean = fit_background(spectrum, 3, window)
    x, used, variance = spectrum.centres[:, None], mean.used, np.maximum(mean.expected, 1.0)
    rest = spectrum.counts - mean.expected
    start = DijetKernel(amplitude=float(variance[used].max()), offset=float(spectrum.edges[0]))
    process = GaussianProcessRegressor(start, alpha=variance[used], optimizer=_most_probable)
    process.fit(x[used], rest[used])
    # what is predicted: the process and the mean's freedom together, given the counts
    prior = process.kernel_(x) + _FREEDOM**2 * mean.covariance
    seen = prior[np.ix_(used, used)] + np.diag(variance[used])
    gain = np.linalg.solve(seen, prior[used]).T
    return GpBackground(
        spectrum=spectrum,
        expected=mean.expected + gain @ rest[used],
        covariance=prior - gain @ prior[used],
        kernel=process.kernel_,
        log_likelihood=float(process.log_marginal_likelihood_value_),
        used=used,
    )


def _most_probable(objective: Callable[..., Any], start: Floats, bounds: Floats) -> tuple[Floats, float]:
    """Minimise -ln of marginal likelihood times prior over the logarithms of the hyperparameters, sorted by name."""
    widths = np.array([_PRIOR[name] for name in sorted(_PRIOR)])

    def both(theta: Floats) -> tuple[float, Floats]:
        value, slope = objective(theta)
        off = (theta - start) / widths
        return float(value + off @ off / 2), np.asarray(slope + off / widths)

    found = minimize(both, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x, float(objective(found.x, eval_gradient=False))
