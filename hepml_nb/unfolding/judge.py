"""How good an unfolded spectrum is: distance from the truth, bias in units of its covariance, response to a slope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, content_hash, rng
from hepml_nb.unfolding.sample import Floats
from hepml_nb.unfolding.spectrum import Spectrum, histogram

__all__ = ["Bias", "bias", "linearity", "tilt", "triangular"]

Truth = Spectrum | npt.ArrayLike


@dataclass(frozen=True, eq=False)
class Bias:
    """Differences (b,) of a spectrum from the truth, in its errors (`pulls`), and their chi2 with the covariance."""

    pulls: Floats
    chi2: float
    bins: int
    p_value: float


def triangular(
    spectrum: Spectrum | Sequence[Spectrum],
    truth: Truth,
    *,
    weights: npt.ArrayLike | None = None,
    scale: float = 1e3,
    toys: int = 200,
    seed: int = 0,
    baseline: float | None = None,
    deterministic: bool = False,
) -> Result:
    """Return the triangular discriminator of an unfolded spectrum and the truth, as `stats.triangular` has of samples.

    spectrum: one, or one per training of the same events. truth: values (n,) with weights (n,), or a spectrum in the
    same bins. Both are normalised in the bins; a negative bin, which an inversion may give, counts with its size.
    error: toys of the spectrum's covariance and the truth's, less the noise that they have twice, and the spread of
    trainings. floor: what the same number of events would score if they had been measured without a detector. n: the
    events of the spectrum or the truth, whichever are fewer. replicas serve claims against results with the same truth;
    the spectra's fluctuations are drawn independently, so that what methods share makes their claims only stronger.
    Raises InputError for other bins, or a spectrum whose sum is not positive. Source: arXiv:1911.09107.
    """
    several = [spectrum] if isinstance(spectrum, Spectrum) else list(spectrum)
    if not several:
        raise InputError("there is no spectrum to judge; give one, or one per training.")
    exact = _truth(several[0], truth, weights)
    generator = rng(seed, "triangular", "truth")
    of_truth = _noise(exact.covariance, toys, generator)
    found = [_judged(_same_bins(one, exact), exact, of_truth, seed) for one in several]
    values, noise, replicas = (np.array([one[k] for one in found]) for k in range(3))
    shape = np.maximum(exact.values, 0) / exact.values.sum() * several[0].values.sum()
    counted = generator.poisson(shape, (toys, len(shape))).astype(float)
    counted[counted.sum(axis=1) == 0] = shape
    size = exact.values.sum() ** 2 / max(np.trace(exact.covariance), 1e-300)
    spread = values.var(ddof=1) / len(values) if len(values) > 1 else 0.0
    return Result(
        value=scale * float(values.mean()),
        error=scale * float(np.sqrt(noise.mean() + spread)),
        n=int(min(several[0].values.sum(), size)),
        floor=scale * float(_distance(counted, exact.values + of_truth).mean()),
        baseline=baseline,
        better="lower",
        definition=f"triangular discriminator x {scale:g}, {len(shape)} bins",
        seeds=0 if deterministic else len(several),
        replicas=scale * replicas,
        pairing=content_hash([exact.values.tolist(), exact.edges.tolist(), toys, seed, scale]),
    )


def _judged(spectrum: Spectrum, exact: Spectrum, of_truth: Floats, seed: int) -> tuple[float, float, Floats]:
    """Return the discriminator of one spectrum, its variance, and toys (toys,) of it."""
    p, q = spectrum.values, exact.values
    if p.sum() <= 0 or q.sum() <= 0:
        raise InputError(f"the spectra sum to {p.sum():g} and {q.sum():g}; the triangular discriminator needs events.")
    noise = _noise(spectrum.covariance, len(of_truth), rng(seed, "triangular", p.tobytes().hex()))
    replicas = _distance(p + noise, q + of_truth)
    alike = _distance(q / q.sum() * p.sum() + noise, q + of_truth).var(ddof=1)
    return float(_distance(p[None], q[None])[0]), float(max(replicas.var(ddof=1) - 2 * alike, alike)), replicas


def bias(spectrum: Spectrum, truth: Truth, *, weights: npt.ArrayLike | None = None) -> Bias:
    """Return how far an unfolded spectrum is from the truth, in events, judged with both covariances.

    truth: values (n,) with weights (n,) in the luminosity of the spectrum, or a spectrum (covariance 0: exact). It must
    be independent of the measured events: with the truth behind these very events chi2 comes out too small.
    Directions in which the covariance vanishes are left out, and `bins` counts the others.
    Raises InputError for other bins.
    """
    from scipy.stats import chi2

    exact = _truth(spectrum, truth, weights)
    apart, covariance = spectrum.values - exact.values, spectrum.covariance + exact.covariance
    width = np.sqrt(np.diag(covariance))
    if not (width > 0).all():
        raise InputError(f"{int((width <= 0).sum())} of {len(width)} bins have no error; their bias cannot be judged.")
    variances, directions = np.linalg.eigh(covariance / np.outer(width, width))
    kept = variances > 1e-10 * variances.max()
    value = float((((directions.T @ (apart / width)) ** 2)[kept] / variances[kept]).sum())
    return Bias(apart / width, value, int(kept.sum()), float(chi2.sf(value, int(kept.sum()))))


def tilt(spectrum: Spectrum, reference: Truth, *, weights: npt.ArrayLike | None = None) -> tuple[float, float]:
    """Return the slope of spectrum / reference over the range of the bins, and its error.

    The ratio is fitted, with the spectrum's covariance, by level x (1 + slope x u), u from -1 to 1 between the
    centres of the first and the last bin. Raises InputError for other bins or an empty bin of the reference.
    """
    exact = _truth(spectrum, reference, weights).values
    if (exact <= 0).any():
        raise InputError(f"{int((exact <= 0).sum())} bins of the reference are empty; a ratio needs events in all.")
    centres = (spectrum.edges[1:] + spectrum.edges[:-1]) / 2
    u = np.interp(centres, [centres[0], centres[-1]], [-1, 1])
    columns = np.stack([np.ones_like(u), u], axis=1)
    towards = np.linalg.lstsq(spectrum.covariance / np.outer(exact, exact), columns, rcond=1e-10)[0]
    covariance = np.linalg.inv(columns.T @ towards)
    level, rise = covariance @ towards.T @ (spectrum.values / exact)
    jacobian = np.array([-rise / level**2, 1 / level])
    return float(rise / level), float(np.sqrt(jacobian @ covariance @ jacobian))


def linearity(true: npt.ArrayLike, found: npt.ArrayLike, errors: npt.ArrayLike) -> Result:
    """Return the slope of found against true values (k,) of a parameter, weighted by errors (k,); one is unbiased.

    Raises InputError for fewer than two different true values, or errors that are not positive.
    """
    x, y, e = (np.asarray(one, float) for one in (true, found, errors))
    if x.shape != y.shape or x.shape != e.shape or x.ndim != 1 or len(np.unique(x)) < 2 or not (e > 0).all():
        raise InputError(f"true {x.shape}, found {y.shape}, errors {e.shape}: expected equal (k,), two different true "
                         "values and positive errors.")  # fmt: skip
    w = e**-2 / (e**-2).sum()
    spread = w @ (x - w @ x) ** 2
    value = (w * (x - w @ x)) @ y / spread
    return Result(
        value=float(value),
        error=float(1 / np.sqrt((e**-2).sum() * spread)),
        n=len(x),
        floor=1.0,
        better="target",
        definition="slope of found against true",
    )


def _truth(spectrum: Spectrum, truth: Truth, weights: npt.ArrayLike | None) -> Spectrum:
    if not isinstance(truth, Spectrum):
        return histogram(truth, spectrum.edges, weights)
    _same_bins(spectrum, truth)
    return truth


def _same_bins(spectrum: Spectrum, truth: Spectrum) -> Spectrum:
    if not np.array_equal(truth.edges, spectrum.edges):
        raise InputError(f"the truth has {len(truth.values)} bins and other edges than the spectrum's "
                         f"{len(spectrum.values)}; compare in the same bins.")  # fmt: skip
    return spectrum


def _noise(covariance: Floats, toys: int, generator: np.random.Generator) -> Floats:
    variances, directions = np.linalg.eigh(covariance)
    drawn = generator.standard_normal((toys, len(variances))) * np.sqrt(np.maximum(variances, 0))
    return np.asarray(drawn @ directions.T)


def _distance(p: Floats, q: Floats) -> Floats:
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    total = np.abs(p) + np.abs(q)
    return np.asarray(0.5 * np.divide((p - q) ** 2, total, out=np.zeros_like(total), where=total > 0).sum(axis=1))
