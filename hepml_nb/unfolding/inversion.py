"""Matrix inversion: the spectrum whose fold is nearest to the counts, with nothing assumed about its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.unfolding.binned import Binned, BinnedConfig
from hepml_nb.unfolding.response import Counts, Response
from hepml_nb.unfolding.sample import Floats

__all__ = ["Inversion", "InversionConfig", "expected", "least_squares"]


@dataclass(frozen=True)
class InversionConfig(BinnedConfig):
    """Of `BinnedConfig`; sim_bins=bins inverts a square matrix, more of them fit by least squares."""


class Inversion(Binned):
    """Least squares with the inverse covariance of the counts; exact inversion where the matrix is square.

    Unbiased, and with the largest errors: fluctuations of the counts come back multiplied by up to the condition of
    the matrix, with signs that alternate from bin to bin. Source: arXiv:1611.01927 (review).
    """

    name = "inversion"
    configs: ClassVar[Mapping[str, Any]] = {"paper": InversionConfig(), "small": InversionConfig()}

    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        s, g = response.matrix.shape
        rank = int(np.linalg.matrix_rank(response.matrix))
        if rank < g:
            raise InputError(
                f"the response matrix {s} x {g} of {response.observable} has rank {rank}: it cannot be inverted; use "
                "fewer bins before the detector or more after it, or a method that regularises."
            )
        return least_squares(response, counts)


def expected(response: Response, counts: Counts) -> Floats:
    """Return the variances (s,) of the counts that the simulation expects, scaled to their sum.

    Weights from the counts themselves would pull fits towards downward fluctuations (Neyman's bias).
    """
    prior = np.maximum(response.fold(response.truth), 0)
    seen = counts.data - counts.background
    scale = seen.sum() / prior.sum() if seen.sum() > 0 else 1.0
    per_event = counts.data_squares.sum() / max(counts.data.sum(), 1e-300)  # of weighted measured events
    variances = prior * scale * per_event + np.maximum(counts.background, 0) + counts.background_squares
    return np.asarray(variances * counts.genuine**2)


def least_squares(response: Response, counts: Counts, penalty: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the events (g,) that minimise chi2(R x, counts) + x^T penalty x, and the covariance of the counts' errors.

    penalty: (g, g), or None. Bins that nothing is expected in are left out.
    """
    weights = expected(response, counts)
    weights = np.divide(1, weights, out=np.zeros_like(weights), where=weights > 0)
    towards = response.matrix.T * weights
    normal = towards @ response.matrix
    inverse = np.linalg.solve(normal if penalty is None else normal + penalty, towards)
    return inverse @ counts.values, (inverse * counts.variances) @ inverse.T
