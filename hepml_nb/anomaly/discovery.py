"""From an anomaly score to a discovery: windows, cuts, fits, and one global p-value for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from hepml_nb.anomaly.background import BackgroundFit, design, fit_background
from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.crossfit import cross_fit
from hepml_nb.anomaly.limits import Limit, count_p, counting_limit
from hepml_nb.anomaly.poisson import Design, maximise
from hepml_nb.anomaly.sample import Events, Window
from hepml_nb.anomaly.spectrum import Floats, MassSpectrum, fill
from hepml_nb.anomaly.trials import toy_p
from hepml_nb.core import InputError, derive_seed, rng

__all__ = ["CountingTest", "Discovery", "chain", "count_and_compare", "search"]

MakeMethod = Callable[[], AnomalyMethod]
_FEW = 10  # toys beyond the data below which the global p is extrapolated
_QUANTILE = 0.1


@dataclass(frozen=True, eq=False)
class Discovery:
    """What a search found in windows (w) after cuts (c): observed, expected events with errors, local p (w, c).

    A cell without a fit (too few events passed) has p = 1 and expects NaN. smallest (t,): least local p of each toy.
    """

    windows: tuple[Window, ...]
    efficiencies: tuple[float, ...]
    observed: Floats
    expected: Floats
    errors: Floats
    p: Floats
    fits: dict[tuple[int, int], BackgroundFit] = field(repr=False)
    smallest: Floats = field(repr=False)

    @property
    def best(self) -> tuple[int, int]:
        """Indices of the window and the cut with the least local p."""
        w, c = np.unravel_index(int(np.argmin(self.p)), self.p.shape)
        return int(w), int(c)

    @property
    def z(self) -> Floats:
        """Local significances (w, c), negative for deficits."""
        return np.asarray(norm.isf(np.maximum(self.p, 1e-300)))

    @property
    def trials(self) -> float:
        """The effective number of independent tests, from the least tenth of the toys' smallest p-values."""
        at = max(float(np.quantile(self.smallest, _QUANTILE)), 1e-300)
        return float(max(np.log1p(-_QUANTILE) / np.log1p(-at), 1.0)) if at < 1 else 1.0

    @property
    def global_p(self) -> float:
        """P(least local p of background as small as this one): the share of toys, of n toys that and the data.

        Where fewer than ten toys are beyond the data it is extrapolated with the number of trials, 1 - (1 - p)^trials.
        """
        local = float(self.p.min())
        if int((self.smallest <= local).sum()) >= _FEW:
            return float(toy_p(-self.smallest, -local)[0][0])
        return float(-np.expm1(self.trials * np.log1p(-min(local, 1 - 1e-16))))

    @property
    def global_z(self) -> float:
        """The global significance."""
        return float(norm.isf(max(self.global_p, 1e-300)))

    def limit(self, window: int, cut: int, share: float = 1.0, level: float = 0.95) -> Limit:
        """Return the limit on signal events, of which a share is in the window and passes; RunError as the fit."""
        if (window, cut) not in self.fits:
            raise InputError(f"window {window}, cut {cut} has no fit; choose one that has an expectation.")
        n, b, error = (float(one[window, cut]) for one in (self.observed, self.expected, self.errors))
        return counting_limit(round(n), b, error, share, level)


def chain(
    events: Events,
    windows: Sequence[Window],
    make_method: MakeMethod,
    edges: npt.ArrayLike,
    *,
    efficiencies: Sequence[float] = (0.1, 0.01, 0.001),
    folds: int = 5,
    order: int = 3,
    toys: int = 500,
    seed: int = 0,
) -> Discovery:
    """Search all windows: train beside and inside each one, score what was not trained on, cut, fit, count.

    make_method: returns a new method, `lambda: make("cwola")`; it is trained for every window and fold
    (`crossfit.cross_fit`), so that no event is scored by a method that has seen it. The rest is `search`. The steps are
    those of arXiv:1805.02664 and 1902.02634 and of ATLAS (2005.02983); cuts are set in the sideband, not in the window.
    """
    scores = [
        cross_fit(make_method, events, window, folds=folds, seed=derive_seed(seed, "window", i), relative_to="sideband")
        for i, window in enumerate(windows)
    ]
    return search(events.mjj, scores, windows, edges, efficiencies=efficiencies, order=order, toys=toys, seed=seed)


def search(
    mjj: npt.ArrayLike,
    scores: Sequence[npt.ArrayLike],
    windows: Sequence[Window],
    edges: npt.ArrayLike,
    *,
    efficiencies: Sequence[float] = (0.1, 0.01, 0.001),
    order: int = 3,
    toys: int = 500,
    seed: int = 0,
) -> Discovery:
    """Cut on the scores of each window at given background efficiencies, fit beside the window and count inside it.

    mjj (n,), TeV; scores: one array (n,) for each window, NaN for events that are not used; edges (b + 1,), TeV, with
    the windows' edges among them. efficiencies: shares of the events beside the window that pass, 1 for no cut. The
    spectrum of those that pass is fitted with the window masked, and the local p is that of the count inside, given the
    error of the fit (`limits.count_p`).
    The global p-value is that of the least local p. Its toys are drawn from the fitted spectra such that windows and
    cuts share as many events as in the data: events that pass the same combination fluctuate together.
    Raises InputError for no window, scores of another length, efficiencies outside (0, 1], and where nothing can be
    fitted.
    """
    m, kept = np.asarray(mjj, float), tuple(float(one) for one in efficiencies)
    if not windows or len(scores) != len(windows):
        raise InputError(f"{len(windows)} windows and {len(scores)} arrays of scores; expected one for each.")
    if not kept or not all(0 < one <= 1 for one in kept) or toys < 1:
        raise InputError(f"efficiencies={kept!r}, toys={toys!r}; expected shares above 0, at most 1, and some toys.")
    each = [
        _passing(m, np.asarray(one, float), window, kept, rng(seed, "ties", i))
        for i, (one, window) in enumerate(zip(scores, windows, strict=True))
    ]
    passed = np.stack(each, axis=1)
    cells: list[tuple[int, int]] = []
    fits: dict[tuple[int, int], BackgroundFit] = {}
    shape = (len(windows), len(kept))
    observed, expected, errors = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    p, trouble = np.ones(shape), ""
    for w, c in np.ndindex(shape):
        chosen = m[passed[:, w, c]]
        try:
            spectrum = fill(chosen, edges)
            fit = fit_background(spectrum, order, windows[w])
        except InputError as error:
            if not _can_be_masked(edges, windows[w]):
                raise
            trouble = str(error)
            continue
        observed[w, c] = spectrum.counts[spectrum.bins_in(windows[w])].sum()
        expected[w, c], errors[w, c] = fit.within(windows[w])
        p[w, c] = count_p(observed[w, c], expected[w, c], errors[w, c])
        fits[w, c] = fit
        cells.append((w, c))
    if not cells:
        raise InputError(f"no window could be fitted after any cut: {trouble}")
    e = np.asarray(edges, float)
    patterns = passed[(m >= e[0]) & (m < e[-1])][:, [w for w, _ in cells], [c for _, c in cells]]
    smallest = _toys(patterns, [fits[one] for one in cells], [windows[w] for w, _ in cells], toys, seed)
    return Discovery(tuple(windows), kept, observed, expected, errors, p, fits, smallest)


def _can_be_masked(edges: npt.ArrayLike, window: Window) -> bool:
    """Return True where the window is one of whole bins; raise the error that says why not."""
    e = np.asarray(edges, float)
    return bool(MassSpectrum(np.ones(len(e) - 1), e).bins_in(window).any())


def _passing(
    mjj: Floats, scores: Floats, window: Window, efficiencies: tuple[float, ...], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return which events pass each cut (n, c); thresholds are quantiles of the events beside the window.

    Equal scores are put in random order, so that a cut keeps its share also where trees have few values to give.
    """
    if scores.shape != mjj.shape:
        raise InputError(f"scores have shape {scores.shape}; there are {len(mjj)} events.")
    known = np.isfinite(scores)
    ranks = np.full(len(scores), np.nan)
    ranks[np.lexsort((generator.random(len(scores)), scores))] = np.arange(len(scores))
    beside = ranks[known & ~window.inside(mjj)]
    if not len(beside):
        raise InputError(f"no event beside {window} has a score; a cut is set there.")
    cuts = np.quantile(beside, [1 - one for one in efficiencies])
    passed = [known & (ranks > cut) if one < 1 else known for one, cut in zip(efficiencies, cuts, strict=True)]
    return np.stack(passed, axis=1)


def _toys(
    patterns: npt.NDArray[np.bool_], fits: list[BackgroundFit], windows: list[Window], n: int, seed: int
) -> Floats:
    """Return the least local p (n,) of toys in which cells share events as in the data.

    patterns (events, cells): which cells an event is in. Events of one pattern are drawn
    from the mean of its cells' spectra.
    """
    kinds, how_many = np.unique(patterns[patterns.any(axis=1)], axis=0, return_counts=True)
    shapes = np.stack([fit.expected / fit.expected.sum() for fit in fits])
    mean = kinds @ shapes / kinds.sum(axis=1, keepdims=True)
    generator = rng(seed, "discovery toys")
    counts = np.zeros((n, len(fits), shapes.shape[1]))
    for kind, number, spectrum in zip(kinds, how_many, mean, strict=True):
        counts[:, kind] += generator.poisson(number * spectrum, (n, 1, len(spectrum)))
    smallest = np.ones(n)
    for i, (fit, window) in enumerate(zip(fits, windows, strict=True)):
        like = MassSpectrum(fit.expected, fit.spectrum.edges)
        inside = like.bins_in(window)
        b, error = _predicted(counts[:, i], design(like, fit.order, window), inside)
        np.minimum(smallest, count_p(counts[:, i][:, inside].sum(axis=1), b, error), out=smallest)
    return smallest


def _predicted(counts: Floats, basis: Design, inside: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return what masked fits of counts (t, b) expect inside, and its error."""
    found = maximise(counts, basis)
    expected, slopes = basis.expected(found.theta)
    slope = slopes[:, inside].sum(axis=1)
    moved = np.linalg.solve(found.information, slope[..., None])[..., 0]
    return expected[:, inside].sum(axis=1), np.sqrt((slope * moved).sum(axis=1))


class CountingTest(NamedTuple):
    """Events that pass inside the window: observed, expected and its error; local p and z."""

    observed: float
    expected: float
    error: float
    p: float
    z: float


def count_and_compare(
    scores: npt.ArrayLike,
    reference: npt.ArrayLike,
    background: float,
    error: float = 0.0,
    efficiencies: Sequence[float] = (0.1, 0.01, 0.001),
) -> list[CountingTest]:
    """Count instead of fitting after the cut: no spectrum can be sculpted that nobody looks at (S0/49).

    scores (n,): of the data in the window. reference (r,): scores of background there, the held-out samples of a
    template or, for features that do not follow the mass, events beside the window. background, error: events in the
    window before any cut, from a masked fit of the whole spectrum. Each cut keeps a share of the reference, and the
    window is expected to keep the same. The reference's statistics enter the error, so that cuts as hard as the
    reference allows can be used. Raises InputError where the reference is too small for a cut.
    """
    data, pure = np.asarray(scores, float), np.sort(np.asarray(reference, float))
    if not len(data) or not background > 0 or error < 0:
        raise InputError(f"{len(data)} scores, background={background!r}, error={error!r}; expected some, and b > 0.")
    found = []
    for one in efficiencies:
        passing = round(one * len(pure))
        if not 0 < one < 1 or passing < 1:
            raise InputError(
                f"a cut that keeps {one!r} of {len(pure)} reference events leaves {passing}; at least 1 is needed."
            )
        n = float((data > pure[-passing - 1]).sum()) if passing < len(pure) else float(len(data))
        b = background * passing / len(pure)
        sigma = b * np.sqrt(1 / passing + (error / background) ** 2)
        p = float(count_p(n, b, sigma))
        found.append(CountingTest(n, b, float(sigma), p, float(norm.isf(max(p, 1e-300)))))
    return found
