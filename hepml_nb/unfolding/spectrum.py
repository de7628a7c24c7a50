"""A spectrum: counts in the bins of one observable, with the covariance that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError
from hepml_nb.unfolding.sample import Floats

__all__ = ["Spectrum", "histogram"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Expected events (b,) in the bins between `edges` (b + 1,) of an observable, and their covariance (b, b).

    Nothing is divided by the bin width and nothing normalised; `density` does both. Raises InputError where shapes do
    not fit or edges do not rise.
    """

    values: Any
    edges: Any
    covariance: Any
    observable: str = ""

    def __post_init__(self) -> None:
        values, edges = np.asarray(self.values, float), np.asarray(self.edges, float)
        covariance = np.asarray(self.covariance, float)
        _must_rise(edges)
        b = len(edges) - 1
        if values.shape != (b,) or covariance.shape != (b, b):
            raise InputError(
                f"values {values.shape} and covariance {covariance.shape} do not fit {b} bins; expected ({b},), "
                f"({b}, {b})."
            )
        for name, array in (("values", values), ("edges", edges), ("covariance", covariance)):
            object.__setattr__(self, name, array)

    @property
    def errors(self) -> Floats:
        """One standard deviation of each bin (b,)."""
        return np.sqrt(np.diag(self.covariance))

    def density(self) -> Spectrum:
        """Return the spectrum divided by its sum and the bin widths, covariance propagated."""
        total, widths = self.values.sum(), np.diff(self.edges)
        jacobian = (np.eye(len(self.values)) - np.outer(self.values, np.ones(len(self.values))) / total) / total
        jacobian /= widths[:, None]
        return Spectrum(
            self.values / total / widths, self.edges, jacobian @ self.covariance @ jacobian.T, self.observable
        )

    def to_hist(self) -> Any:
        """Return a `hist.Hist` with weights, values and variances those of the spectrum."""
        import hist

        filled = hist.Hist(hist.axis.Variable(self.edges, name=self.observable or "x"), storage=hist.storage.Weight())
        filled.view(flow=False)["value"] = self.values
        filled.view(flow=False)["variance"] = np.diag(self.covariance)
        return filled


def _must_rise(edges: Floats) -> None:
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InputError(f"edges={edges!r} are no bin edges; expected at least two rising numbers.")


def histogram(
    values: npt.ArrayLike, edges: npt.ArrayLike, weights: npt.ArrayLike | None = None, observable: str = ""
) -> Spectrum:
    """Return the spectrum of independent weighted events: values (n,), NaN for those that are left out.

    The covariance is diagonal, the sum of squared weights: the statistics of these events and nothing else. Raises
    InputError where edges do not rise.
    """
    edges = np.asarray(edges, float)
    _must_rise(edges)
    x = np.asarray(values, float)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    keep = np.isfinite(x)
    counts, squares = (np.histogram(x[keep], edges, weights=one[keep])[0] for one in (w, w**2))
    return Spectrum(counts, edges, np.diag(squares), observable)
