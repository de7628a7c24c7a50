"""Toys with a known answer, shared by the tests of stats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtr, ndtri


class Binormal:
    """Background scores N(0, 1), signal scores N(d, 1): AUC and background efficiency have closed forms."""

    def __init__(self, d: float) -> None:
        self.d = d
        self.auc = float(ndtr(d / np.sqrt(2)))

    def background(self, eff: float) -> float:
        return float(1 - ndtr(self.d + ndtri(1 - eff)))

    def draw(self, rng: np.random.Generator, n_signal: int, n_background: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat([1, 0], [n_signal, n_background])
        return labels, rng.normal(size=len(labels)) + self.d * labels

    def trainings(
        self, rng: np.random.Generator, labels: np.ndarray, shared: np.ndarray, gain: float, spread: float, n: int = 3
    ) -> list[np.ndarray]:
        """Scores of n trainings: they share most of the noise of an event and differ in their power by `spread`."""
        return [
            0.9 * shared + 0.44 * rng.normal(size=len(labels)) + labels * (self.d + gain + spread * rng.normal())
            for _ in range(n)
        ]


@pytest.fixture
def binormal() -> Callable[[float], Binormal]:
    return Binormal
