"""The best single cut: the one observable, one-sided or in a window, that separates best on the training split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError
from hepml_nb.stats import roc
from hepml_nb.tagging.base import Arrays, Tagger
from hepml_nb.tagging.observables import OBSERVABLES

__all__ = ["Cut", "CutConfig"]


@dataclass(frozen=True)
class CutConfig:
    """windows: try |x - median of the signal| of every observable too. candidates: names of OBSERVABLES (all)."""

    windows: bool = True
    candidates: tuple[str, ...] = tuple(OBSERVABLES)


class Cut(Tagger):
    """Score = x, -x or -|x - centre| of one observable; the choice is made by AUC on the training split.

    What a network must beat before it has learnt anything (claims "beats the best single cut").
    """

    name = "cut"
    configs = {"paper": CutConfig(), "small": CutConfig()}  # noqa: RUF012 - a Mapping, never changed
    deterministic = True
    probability = False

    sign, centre, column = 0.0, float("nan"), 0

    @property
    def n_parameters(self) -> int:
        """A direction or the centre of a window; the threshold is the user's choice of efficiency."""
        return 1

    @property
    def choice(self) -> str:
        """The cut in words, for a table."""
        observable = tuple(OBSERVABLES)[self.column]
        if self.sign == 0:
            return "none"
        if np.isfinite(self.centre):
            return f"|{observable} - {self.centre:.4g}|"
        return f"{observable} {'above' if self.sign > 0 else 'below'}"

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        names = list(OBSERVABLES)
        if unknown := [name for name in self.config.candidates if name not in names]:
            raise InputError(f"candidates={unknown} are no observables; known: {names}.")
        best = -1.0
        for column in (names.index(name) for name in self.config.candidates):
            median = float(np.median(x[y == 1, column]))
            options = [(1.0, np.nan), (-1.0, np.nan), *([(-1.0, median)] if self.config.windows else [])]
            for sign, centre in options:
                area = roc(y, _discriminant(x[:, column], sign, centre)).auc
                if area > best:
                    best, self.column, self.sign, self.centre = area, column, sign, centre

    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None:
        self.column, self.sign, self.centre = 0, 0.0, float("nan")

    def _score(self, x: Any) -> npt.NDArray[Any]:
        return _discriminant(x[:, self.column], self.sign, self.centre)

    def _state(self) -> Arrays:
        return {"cut": np.array([self.column, self.sign, self.centre])}

    def _restore(self, state: Arrays) -> None:
        column, self.sign, self.centre = state["cut"].tolist()
        self.column = int(column)


def _discriminant(x: npt.NDArray[Any], sign: float, centre: float) -> npt.NDArray[Any]:
    wide = x.astype(np.float64)
    return sign * (np.abs(wide - centre) if np.isfinite(centre) else wide)
