"""A test sample, sorted once per training and then redrawn cheaply: a replica is a cumulative sum of counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

from .checks import Bools, Floats, binary, column, weighted
from .samples import effective_size

__all__ = ["Ordered", "TestSample"]

_CHUNK = 2_000_000  # doubles per array in flight: 16 MB


@dataclass(frozen=True)
class TestSample:
    """Test events, the trainings' scores of shape (T, n), and how to draw the events again.

    seeds: the number of trainings, 0 for a method without randomness; fingerprint: equal where the draws are equal.
    """

    __test__ = False  # no pytest class, in spite of its name

    signal: Bools
    scores: Floats
    weights: Floats | None
    n_boot: int
    seed: int
    seeds: int
    fingerprint: str

    @classmethod
    def read(
        cls,
        labels: npt.ArrayLike,
        scores: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        weights: npt.ArrayLike | None,
        events: npt.ArrayLike | None,
        n_boot: int,
        seed: int,
        deterministic: bool,
    ) -> TestSample:
        """Check what the user gave and take the fingerprint of (labels, weights, events, n_boot, seed)."""
        signal = binary(labels)
        if n_boot < 2:
            raise InputError(f"n_boot={n_boot!r} replicas give no error; expected at least 2, better 200.")
        rows = _trainings(scores, len(signal))
        if deterministic and len(rows) > 1:
            raise InputError(f"deterministic=True with {len(rows)} trainings; a method without randomness has one.")
        weight = weighted(weights, signal)
        digest = hashlib.sha256(np.packbits(signal).tobytes())
        digest.update(f"{len(signal)} {n_boot} {seed}".encode())
        digest.update(b"" if weight is None else weight.tobytes())
        digest.update(b"" if events is None else column(events, "events", len(signal)).tobytes())
        return cls(signal, rows, weight, n_boot, seed, 0 if deterministic else len(rows), digest.hexdigest()[:16])

    @property
    def n(self) -> int:
        """The smaller class."""
        return int(min(self.signal.sum(), (~self.signal).sum()))

    @property
    def n_background(self) -> float:
        """Effective number of background events."""
        chosen = ~self.signal
        return float(chosen.sum()) if self.weights is None else effective_size(self.weights[chosen])

    def draws(self) -> Iterator[tuple[slice, Floats, Floats]]:
        """Yield (replicas, counts of signal, counts of background) in chunks; each class keeps its size."""
        generator = rng(self.seed, "paired bootstrap")
        sizes = int(self.signal.sum()), int((~self.signal).sum())
        step = max(1, _CHUNK // len(self.signal))
        for start in range(0, self.n_boot, step):
            rows = min(step, self.n_boot - start)
            drawn = [np.empty((rows, size)) for size in sizes]
            for row in range(rows):  # row by row, so that the draws do not depend on the chunk
                for size, counts in zip(sizes, drawn, strict=True):
                    counts[row] = np.bincount(generator.integers(0, size, size), minlength=size)
            yield slice(start, start + rows), drawn[0], drawn[1]


class Ordered:
    """One training's scores, sorted once in each class (highest first) and placed against the other class."""

    def __init__(self, test: TestSample, scores: Floats) -> None:
        signal, background = -scores[test.signal], -scores[~test.signal]
        self.by_signal, self.by_background = np.argsort(signal), np.argsort(background)
        signal, background = signal[self.by_signal], background[self.by_background]
        # background events strictly above each signal event, and those at least as high
        self.above = np.searchsorted(background, signal, "left")
        self.level = np.searchsorted(background, signal, "right")
        self.tied = bool((self.above != self.level).any())
        self.first = np.searchsorted(signal, signal, "left")
        self.last = np.searchsorted(signal, signal, "right") - 1
        self.right_signal, self.right_background = signal < -0.5, background >= -0.5
        self.weights = None
        if test.weights is not None:
            self.weights = test.weights[test.signal][self.by_signal], test.weights[~test.signal][self.by_background]

    def figures(self, wanted: Sequence[tuple[str, float]], signal: Floats, background: Floats) -> list[Floats]:
        """Return (replicas,) per wanted ("auc" | "background" | "accuracy", eff) from counts (replicas, n_class)."""
        signal, background = signal[:, self.by_signal], background[:, self.by_background]
        if self.weights is not None:
            signal, background = signal * self.weights[0], background * self.weights[1]
        passed = np.zeros((len(background), background.shape[1] + 1))
        np.cumsum(background, axis=1, out=passed[:, 1:])
        kept = np.cumsum(signal, axis=1)
        made = []
        for metric, eff in wanted:
            if metric == "auc":
                made.append(self._auc(signal, kept, passed))
            elif metric == "background":
                made.append(self._background(kept, passed, eff))
            else:
                right = signal @ self.right_signal + background @ self.right_background
                made.append(right / (kept[:, -1] + passed[:, -1]))
        return made

    def _auc(self, signal: Floats, kept: Floats, passed: Floats) -> Floats:
        """One minus the mean share of background above a signal event, ties half."""
        worse = passed[:, self.above]
        if self.tied:
            worse = 0.5 * (worse + passed[:, self.level])
        lost = np.einsum("ij,ij->i", signal, worse)
        return np.asarray(1 - lost / (kept[:, -1] * passed[:, -1]))

    def _background(self, kept: Floats, passed: Floats, eff: float) -> Floats:
        """Background efficiency at `eff`: between the cuts just above and just at one signal score, as numpy.interp."""
        share = kept / kept[:, -1:]
        crossing = np.argmax(share > eff, axis=1)
        rows = np.arange(len(kept))
        first, last = self.first[crossing], self.last[crossing]
        before = np.where(first > 0, share[rows, np.maximum(first - 1, 0)], 0.0)
        tight, loose = passed[rows, self.above[crossing]], passed[rows, self.level[crossing]]
        slope = (loose - tight) / (share[rows, last] - before)
        return np.asarray((tight + slope * (eff - before)) / passed[:, -1])


def _trainings(scores: npt.ArrayLike | Sequence[npt.ArrayLike], length: int) -> Floats:
    """Return scores of shape (T, n), each training checked for itself."""
    rows: list[Any] = list(scores if isinstance(scores, Sequence) else np.asarray(scores))
    if rows and np.ndim(rows[0]) == 0:  # one training, as numbers
        rows = [rows]
    if not rows:
        raise InputError("scores is empty; expected shape (n,) or one array (n,) per training.")
    names = ["scores"] if len(rows) == 1 else [f"scores[{t}]" for t in range(len(rows))]
    return np.stack([column(row, name, length) for row, name in zip(rows, names, strict=True)])
