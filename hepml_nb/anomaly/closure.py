"""Two numbers that a background estimate must pass: closure against events it has not seen, and no sculpting."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.classifiers import ClassifierConfig, RatioClassifier
from hepml_nb.anomaly.sample import Events, same_columns
from hepml_nb.core import InputError, Result, rng
from hepml_nb.stats import auc, jensen_shannon

__all__ = ["closure", "sculpted"]

_JUDGE = ClassifierConfig(members=1, validation=0.25, leaves=15)


def closure(template: Events, truth: Events, seed: int = 0) -> Result:
    """Return the AUC of boosted trees that tell real background from a template of it: 0.5 where they cannot.

    Trained on one half of both and scored on the other. floor: 0.5; error: that of the AUC on so many events, which
    does not know where a template uses an event several times.
    Raises InputError for other columns, or fewer than 100 events in one of them.
    """
    same_columns(truth, template, "the template")
    if min(len(template), len(truth)) < 100:
        raise InputError(f"{len(template)} and {len(truth)} events are too few for a closure test; expected 100.")
    halves = []
    for name, events in (("template", template), ("truth", truth)):
        order = rng(seed, "closure", name).permutation(len(events))
        halves.append((events.features[order[::2]], events.features[order[1::2]]))
    judge = RatioClassifier(_JUDGE).fit(halves[0][0], halves[1][0], seed)
    rows = np.concatenate([halves[0][1], halves[1][1]])
    labels = np.repeat([0.0, 1.0], [len(halves[0][1]), len(halves[1][1])])
    found, n, m = auc(labels, judge.probability(rows)), len(halves[0][1]), len(halves[1][1])
    error = max(found.error, math.sqrt((n + m + 1) / (12 * n * m)))  # of chance, where the trees found nothing to cut
    about = "AUC, template against truth, by trees"
    return replace(found, error=error, floor=0.5, baseline=None, better="lower", definition=about)


def sculpted(
    mjj: npt.ArrayLike, scores: npt.ArrayLike, *, efficiency: float = 0.01, bins: int = 20, seed: int = 0
) -> Result:
    """Return how far a cut on the score bends the spectrum of background: passing against all other masses, in bits.

    The Jensen-Shannon divergence of mjj (n,) of the `efficiency` highest scores (n,) and of the rest, in `bins` bins
    that hold equally many events. baseline: the same of a random subset of as many events; floor: mean of toys of equal
    spectra. Raises InputError for other lengths, or where fewer than 10 events pass.
    """
    masses, values = np.asarray(mjj, np.float64), np.asarray(scores, np.float64)
    if masses.ndim != 1 or masses.shape != values.shape:
        raise InputError(f"mjj has shape {masses.shape} and scores {values.shape}; expected (n,) twice.")
    n = int(efficiency * len(masses))
    if n < 10 or n > len(masses) // 2:
        raise InputError(
            f"efficiency={efficiency!r} lets {n} of {len(masses)} events pass; expected 10 to half of them."
        )
    edges = np.quantile(masses, np.linspace(0, 1, bins + 1))
    chance = rng(seed, "sculpted").permutation(len(masses))  # among equal scores chance decides, too
    order = chance[np.argsort(values[chance], kind="stable")[::-1]]
    found = jensen_shannon(masses[order[:n]], masses[order[n:]], bins=edges, seed=seed)
    random = jensen_shannon(masses[chance[:n]], masses[chance[n:]], bins=edges, seed=seed)
    definition = f"JSD in bits of mjj that pass (eB = {efficiency:g}) and fail, {bins} bins"
    return replace(found, baseline=random.value, definition=definition)
