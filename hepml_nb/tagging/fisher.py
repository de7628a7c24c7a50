"""Fisher's linear discriminant: one weighted sum of observables, from means and one covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.tagging.base import Arrays, Tagger

__all__ = ["Fisher", "FisherConfig"]


@dataclass(frozen=True)
class FisherConfig:
    """shrinkage: weight in [0, 1] of a diagonal matrix in the covariance, for few jets (0: none)."""

    shrinkage: float = 0.0


class Fisher(Tagger):
    """Linear discriminant analysis with equal covariances: score = 1 / (1 + exp(-(w . x + b))).

    R. A. Fisher 1936; the baseline of "EFNs with substructure observables for jet quenching" (seed row S0/8).
    """

    name = "fisher"
    configs = {"paper": FisherConfig(), "small": FisherConfig()}  # noqa: RUF012 - a Mapping, never changed
    deterministic = True

    @property
    def n_parameters(self) -> int:
        """One weight per observable and a constant."""
        return len(self.weights) + 1

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        scale = x.std(0, dtype=np.float64)  # so that shrinkage treats GeV and ratios alike
        scale[scale == 0] = 1.0
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.config.shrinkage or None)
        model.fit(x / scale, y)
        self.weights, self.constant = model.coef_[0] / scale, float(model.intercept_[0])

    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None:
        self.weights, self.constant = np.zeros(x.shape[1]), 0.0

    def _score(self, x: Any) -> npt.NDArray[Any]:
        from scipy.special import expit

        return np.asarray(expit(x.astype(np.float64) @ self.weights + self.constant))

    def _state(self) -> Arrays:
        return {"weights": self.weights, "constant": np.array([self.constant])}

    def _restore(self, state: Arrays) -> None:
        self.weights, self.constant = state["weights"], float(state["constant"][0])
