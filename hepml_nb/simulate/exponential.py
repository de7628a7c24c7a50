"""The one-dimensional toy of the NPLM papers: an exponential of uncertain scale and yield, and a bump in its tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

__all__ = ["ExponentialToy"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExponentialToy:
    """n(x) = expected e^-x on x > 0, with two nuisance parameters in units of their standard deviation.

    The scale is multiplied by exp(scale_error nu_scale), the yield by exp(yield_error nu_yield). The bump is a Gaussian
    of mean `bump` and width `width`. Defaults: arXiv:2111.13633, section 4 (2000 expected events, errors of 5 %).
    Raises InputError for numbers that are not positive.
    """

    expected: float = 2000.0
    scale_error: float = 0.05
    yield_error: float = 0.05
    bump: float = 6.4
    width: float = 0.16

    def __post_init__(self) -> None:
        for name in ("expected", "scale_error", "yield_error", "bump", "width"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)!r}; expected a positive number.")

    def background(self, n: int, seed: int | np.random.Generator = 0, scale: float = 0.0) -> Floats:
        """Return n background events (n, 1) with the scale shifted by `scale` standard deviations."""
        return _generator(seed, "background").exponential(np.exp(self.scale_error * scale), (n, 1))

    def data(
        self, seed: int | np.random.Generator = 0, *, scale: float = 0.0, luminosity: float = 0.0, signal: float = 0.0
    ) -> Floats:
        """Return one measurement (n, 1): Poisson numbers of background and of `signal` expected events of the bump.

        scale, luminosity: the true nuisance parameters in standard deviations.
        """
        generator = _generator(seed, "data")
        n = generator.poisson(self.expected * np.exp(self.yield_error * luminosity))
        bump = generator.normal(self.bump, self.width, (generator.poisson(signal), 1))
        return np.concatenate([self.background(n, generator, scale), bump])

    def log_ratio(self, x: npt.ArrayLike, scale: npt.ArrayLike, luminosity: npt.ArrayLike = 0.0) -> Floats:
        """Return log n(x | nu) / n(x | 0) for x (n,) or (n, 1), exactly."""
        shift = self.scale_error * np.asarray(scale)
        return np.asarray(self.yield_error * np.asarray(luminosity) - shift - np.ravel(x) * np.expm1(-shift))

    def optimal(self, x: npt.ArrayLike, signal: float) -> float:
        """Return 2 log L(a bump of `signal` expected events) / L(none) of the events x: the test of one who knew.

        The test is Neyman and Pearson's, for nuisance parameters that are known to be 0.
        """
        values = np.ravel(x)
        bump = np.exp(-((values - self.bump) ** 2) / (2 * self.width**2)) / (np.sqrt(2 * np.pi) * self.width)
        return float(2 * (np.log1p(signal * bump / (self.expected * np.exp(-values))).sum() - signal))


def _generator(seed: int | np.random.Generator, what: str) -> np.random.Generator:
    return seed if isinstance(seed, np.random.Generator) else rng(seed, "exponential", what)
