"""What every outlier method on jets is: it learns from the particles of jets what is usual, and scores other jets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.anomaly.base import LEAST
from hepml_nb.anomaly.sample import Floats
from hepml_nb.core import InputError, RunError, derive_seed, rng
from hepml_nb.learn import FitConfig, History, SetBatches, fit, predict
from hepml_nb.tagging import Particles, check_jets
from hepml_nb.tagging.particles import particles

__all__ = ["JetNetwork", "JetOutlier", "NetworkJetOutlier"]

Classes = npt.NDArray[np.int64]

_CHUNK = 20_000  # jets prepared and scored at a time
_JETS = 256  # in a batch that is scored
_HELD_OUT = 0.2  # share of the jets that choose the epoch


class JetOutlier(ABC):
    """A method that learns from jets with constituents what is usual, and scores how unusual others are.

    A subclass names itself and its configurations ("paper": the published defaults, "small": for two cores) and writes
    `_learn` and `_score`. knows: whether it is given jets of other known classes beside the usual ones.
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]]
    columns: ClassVar[tuple[str, ...]] = ("constituents", "eta", "phi")
    knows: ClassVar[bool] = False

    def __init__(self, config: Any = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self._ready = False

    def learn(self, jets: Any, *, known: Any = None, seed: int = 0, untrained: bool = False) -> Self:
        """Learn what is usual from these jets; return self. untrained=True takes no step.

        jets: an awkward array in the jets schema, labels unread. known: jets of other known classes with their `label`,
        for a method that `knows` some; others ignore them, so that all can be called alike.
        Raises InputError for fewer than `LEAST` jets of either, missing columns, NaN, and empty jets.
        """
        if self.knows and known is None:
            raise InputError(f"{self.name} needs jets of known classes; call .learn(jets, known=...).")
        for what, given in {"jets": jets, **({"known": known} if self.knows else {})}.items():
            check_jets(given, (*self.columns, *(("label",) if what == "known" else ())), method=self.name)
            if len(given) < LEAST:
                raise InputError(f"{what} has {len(given)} jets; {self.name} needs at least {LEAST} to learn from.")
        self._learn(jets, known if self.knows else None, seed, untrained)
        self._ready = True
        return self

    def score(self, jets: Any) -> Floats:
        """Return how unusual each jet is, (n,), higher for more; only the order has a meaning.

        Raises RunError before `learn`, InputError for missing columns, NaN, and empty jets.
        """
        if not self._ready:
            raise RunError(f"score needs a {self.name} that has learnt; call .learn(jets) first.")
        check_jets(jets, self.columns, method=self.name)
        parts = [self._score(jets[i : i + _CHUNK]) for i in range(0, len(jets), _CHUNK)]
        scores: Floats = np.concatenate(parts).astype(np.float64)
        if scores.shape != (len(jets),) or not np.isfinite(scores).all():
            bad = int((~np.isfinite(scores)).sum())
            raise RunError(f"{self.name} gave scores of shape {scores.shape}, {bad} of them not finite.")
        return scores

    @abstractmethod
    def _learn(self, jets: Any, known: Any, seed: int, untrained: bool) -> None: ...

    @abstractmethod
    def _score(self, jets: Any) -> Floats: ...


class JetNetwork(nn.Module, ABC):
    """A network of jets, their particles one after another, that knows its loss and how unusual a jet is."""

    @abstractmethod
    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean loss of a batch: values (sum of lengths, features), lengths (n,), classes (n,) int64."""

    @abstractmethod
    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return how unusual each jet of a batch is, (n,)."""

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure what the inputs are scaled by, on the training jets."""


class NetworkJetOutlier(JetOutlier):
    """An outlier method that is one network; a subclass writes `_network`, and `_train` where one loss is not enough.

    Its configuration has `most` (hardest particles of a jet, None for all) and `fit`. Classes are 0 for the usual jets
    and 1, 2, ... for the known ones in the order of their labels. One jet in five chooses the epoch and is not
    trained on. history: of the last training.
    """

    features: ClassVar[tuple[str, ...]] = ("z", "deta", "dphi")
    history: History

    def _learn(self, jets: Any, known: Any, seed: int, untrained: bool) -> None:
        everything = jets if known is None else ak.concatenate([jets[known.fields], known])
        classes = np.zeros(len(everything), np.int64)
        if known is not None:
            classes[len(jets) :] = 1 + np.unique(ak.to_numpy(known.label), return_inverse=True)[1]
        keep = rng(seed, "held out").random(len(everything)) >= _HELD_OUT
        train, val = (self._rows(everything[which], classes[which]) for which in (keep, ~keep))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.name, "weights"))
            self.model = self._network(len(self.features), 1 + int(classes.max()))
        self.model.prepare(*train)
        self.history = History()
        if not untrained:
            self._train(train, val, seed)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        self.history = self._minimise(_loss, train, val, self.config.fit, seed)

    def _minimise(
        self,
        loss: Callable[[Any, Any], Tensor],
        train: tuple[Tensor, ...],
        val: tuple[Tensor, ...],
        config: FitConfig,
        seed: int,
    ) -> History:
        source = SetBatches(*train, batch_size=config.batch_size, seed=derive_seed(seed, "order"))
        checked = SetBatches(*val, batch_size=_JETS, shuffle=False)
        return fit(self.model, loss, source, checked, config, seed=seed, desc=self.name)

    def _score(self, jets: Any) -> Floats:
        return self._forward(jets, lambda net, batch: net.unusual(*batch))

    def _forward(self, jets: Any, forward: Callable[[Any, Any], Tensor]) -> Floats:
        """Return what `forward` (network, (values, lengths)) gives for jets, as float64."""
        batches = SetBatches(*self._rows(jets, np.zeros(len(jets), np.int64))[:2], batch_size=_JETS, shuffle=False)
        found: Floats = predict(self.model, batches, forward).double().numpy()
        return found

    def _rows(self, jets: Any, classes: Classes) -> tuple[Tensor, ...]:
        """Return what a batch holds: particles, how many each jet has, and classes."""
        found = self._inputs(jets)
        return torch.from_numpy(found.values), torch.from_numpy(found.lengths), torch.from_numpy(classes)

    def _inputs(self, jets: Any) -> Particles:
        return particles(jets, self.features, self.config.most)

    @abstractmethod
    def _network(self, features: int, classes: int) -> JetNetwork: ...


def _loss(model: JetNetwork, batch: Any) -> Tensor:
    return model.loss(*batch)
