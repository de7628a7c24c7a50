"""What methods that know some classes of jets share: a network on particles with one output for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.anomaly.jets import JetNetwork, NetworkJetOutlier
from hepml_nb.core import InputError, RunError
from hepml_nb.learn import DeepSet, Standardise
from hepml_nb.tagging import check_jets

__all__ = ["ClassNetwork", "KnowingJetOutlier", "check_widths"]

_INPUTS = 5
_SOFTEST = 1e-6  # of z: far below any particle, and the logarithm stays finite


def check_widths(phi: Sequence[int], f: Sequence[int]) -> None:
    """Raise InputError unless both networks have layers, all of positive width."""
    if not phi or not f or min(*phi, *f) < 1:
        raise InputError(f"phi={tuple(phi)!r}, f={tuple(f)!r}; expected positive widths of one layer or more.")


class ClassNetwork(JetNetwork):
    """F(sum over particles of Phi(z, log z, deta, dphi, distance)) -> one output per class, class 0 the usual one."""

    def __init__(self, classes: int, phi: Sequence[int], f: Sequence[int]) -> None:
        super().__init__()
        self.standardise = Standardise(_INPUTS)
        self.deep_set = DeepSet(_INPUTS, phi, f, classes)

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure what the inputs are scaled by."""
        self.standardise.fit(self._inputs(values))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 3) of (z, deta, dphi) and lengths (n,) to outputs (n, classes)."""
        out: Tensor = self.deep_set(self.standardise(self._inputs(values)), lengths)
        return out

    def probabilities(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the probability of each class (n, classes)."""
        return self(values, lengths).softmax(1)  # type: ignore[no-any-return]

    @staticmethod
    def _inputs(values: Tensor) -> Tensor:
        z, away = values[:, :1], values[:, 1:]
        distance = away.square().sum(1, keepdim=True).sqrt()
        return torch.cat([z, z.clamp(min=_SOFTEST).log(), away, distance], 1)


class KnowingJetOutlier(NetworkJetOutlier):
    """An outlier method that classifies jets into the usual and the known classes; its network is a `ClassNetwork`."""

    knows = True

    def probabilities(self, jets: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class (n, classes): the usual one first, known ones in order of their labels.

        They sum to 1 for every jet, also for jets of no class that was learnt. Raises RunError before `learn`.
        """
        return self._of_jets(jets, lambda net, batch: net.probabilities(*batch))

    def _of_jets(self, jets: Any, forward: Any) -> npt.NDArray[np.float64]:
        """Return what `forward` (network, (values, lengths)) gives for jets, as float64."""
        if not self._ready:
            raise RunError(f"a {self.name} that has learnt nothing knows no classes; call .learn(jets, known=...).")
        check_jets(jets, self.columns, method=self.name)
        return self._forward(jets, forward)
