"""How far made showers are from true ones: separation power, Frechet and kernel physics distance.

Inputs are tables of features (n, k), for the numbers of the CaloChallenge `judge.columns(showers, "high")`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from hepml_nb.calo.sample import Floats
from hepml_nb.core import InputError, Result, rng
from hepml_nb.stats import triangular

__all__ = ["fpd", "frechet", "kpd", "separation", "tables"]

_FEWEST = 100


def separation(truth: npt.ArrayLike, made: npt.ArrayLike, bins: npt.ArrayLike, seed: int = 0) -> Result:
    """Return the separation power 1/2 sum (p - q)^2 / (p + q) of one feature's normalised histograms, in [0, 1].

    truth, made: (n,), (m,). It is the triangular discriminator (`stats.triangular`), with its error and its floor.
    """
    return triangular(truth, made, bins=bins, scale=1.0, seed=seed)


def frechet(truth: Floats, made: Floats) -> float:
    """Return the Frechet distance of two normal distributions with the samples' means and covariances, (n, k), (m, k).

    |a - b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) (Dowson and Landau, J. Multivariate Anal. 12 (1982) 450).
    """
    a, b = truth.mean(axis=0), made.mean(axis=0)
    one, two = np.cov(truth, rowvar=False), np.cov(made, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(one))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ np.atleast_2d(two) @ root), 0)).sum()
    return float(((a - b) ** 2).sum() + np.trace(np.atleast_2d(one)) + np.trace(np.atleast_2d(two)) - 2 * cross)


def fpd(truth: npt.ArrayLike, made: npt.ArrayLike, *, sizes: int = 10, batches: int = 20, seed: int = 0) -> Result:
    """Return the Frechet physics distance of feature tables (n, k), (m, k), without the bias of finite samples.

    After arXiv:2211.10295: the mean of `frechet` over `batches` draws at `sizes` sample sizes N, a line in 1 / N, and
    its value at 1 / N = 0. As in the CaloChallenge columns are over the truth's greatest magnitude and the distance is
    times 1000. Draws are without replacement, from a tenth to half of the smaller table; with replacement, as there,
    the line ends at the distance of the two finite samples, which has their bias. error: of the line's intercept; draws
    overlap, so that it is too small: look at the floor of two halves.
    """
    a, b = tables(truth, made, "greatest")
    n, generator = min(len(a), len(b)), rng(seed, "fpd")
    at = np.unique(np.linspace(max(n / 10, 2 * a.shape[1]), n / 2, sizes).astype(int))

    def draw(size: int) -> float:
        return 1000 * frechet(*(one[generator.permutation(len(one))[:size]] for one in (a, b)))

    draws = np.array([[draw(size) for _ in range(batches)] for size in at])
    spread = np.maximum(draws.std(axis=1, ddof=1) / np.sqrt(batches), 1e-12)
    line, covariance = np.polyfit(1 / at, draws.mean(axis=1), 1, w=1 / spread, cov="unscaled")
    return Result(
        float(line[1]), float(np.sqrt(covariance[1, 1])), n, floor=0.0, better="lower",
        definition="Frechet physics distance x 1e3, extrapolated to infinite samples",
    )  # fmt: skip


def kpd(truth: npt.ArrayLike, made: npt.ArrayLike, *, size: int = 5000, batches: int = 10, seed: int = 0) -> Result:
    """Return the kernel physics distance of feature tables (n, k), (m, k): the median of MMD^2 over batches.

    As arXiv:2211.10295: the unbiased squared maximum mean discrepancy with the kernel (x . y / k + 1)^4 of `size` rows
    each, so that it scatters around its floor, 0. Columns are over the truth's greatest magnitude and the result times
    1000, as in the CaloChallenge. error: half of what 68 % of the batches span, as there.
    """
    a, b = tables(truth, made, "greatest")
    size, generator = min(size, len(a), len(b)), rng(seed, "kpd")
    values = [
        _mmd2(a[generator.permutation(len(a))[:size]], b[generator.permutation(len(b))[:size]]) for _ in range(batches)
    ]
    low, high = np.quantile(values, [0.16, 0.84])
    return Result(
        float(1000 * np.median(values)), float(1000 * (high - low) / 2), min(len(a), len(b)), floor=0.0,
        better="lower", definition=f"kernel physics distance x 1e3, median of {batches} batches of {size}",
    )  # fmt: skip


def _mmd2(a: Floats, b: Floats) -> float:
    """Return the unbiased squared maximum mean discrepancy of equally many rows."""
    n, k = a.shape
    same = 0.0
    for one in (a, b):
        gram = (one @ one.T / k + 1) ** 4
        same += (gram.sum() - np.trace(gram)) / (n * (n - 1))
    return float(same - 2 * ((a @ b.T / k + 1) ** 4).mean())


def tables(
    truth: npt.ArrayLike, made: npt.ArrayLike, over: Literal["spread", "greatest"] = "spread"
) -> tuple[Floats, Floats]:
    """Return both tables, centred on the truth and over its standard deviation, or over its greatest magnitude.

    Columns that never change are left out. Raises InputError for other shapes, few rows, or values that are not finite.
    """
    a, b = np.asarray(truth, np.float64), np.asarray(made, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"features have shapes {a.shape} and {b.shape}; expected (n, k) and (m, k).")
    if min(len(a), len(b)) < _FEWEST:
        raise InputError(f"{len(a)} and {len(b)} showers; a distance of distributions needs {_FEWEST} of each.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("features hold nan or infinity; look for showers without any deposit or energies of 0.")
    mean, spread = a.mean(axis=0), a.std(axis=0)
    moves = (spread > 1e-9 * (1 + np.abs(mean))) | (b.std(axis=0) > 1e-9 * (1 + np.abs(mean)))
    if over == "greatest":
        mean, spread = np.zeros_like(mean), np.abs(a).max(axis=0)
    scale = np.where(spread > 0, spread, 1)
    return ((a - mean) / scale)[:, moves], ((b - mean) / scale)[:, moves]
