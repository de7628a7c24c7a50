"""A tagger whose memory is a torch network with one output: the logit of being signal."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import RunError, derive_seed, threads
from hepml_nb.learn import History, RowBatches, fit, n_parameters, predict
from hepml_nb.tagging.base import Arrays, Scores, Tagger

__all__ = ["NetworkTagger", "loss", "new_network"]


def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean binary cross entropy of a batch (*inputs, labels); model(*inputs) gives the logits, shape (n,)."""
    *inputs, labels = batch
    return nn.functional.binary_cross_entropy_with_logits(model(*inputs), labels)


def new_network(build: Any, seed: int, *labels: str) -> nn.Module:
    """Return build() with weights that depend on the seed and the labels only; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *labels, "weights"))
        network: nn.Module = build()
    return network


class NetworkTagger(Tagger):
    """Fits a network by binary cross entropy; a subclass says how it is built, standardised and batched."""

    eval_batch: ClassVar[int] = 1024

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.model: nn.Module | None = None
        self.history = History()
        self.dtype: Any = np.float32

    def double(self) -> Self:
        """Return a copy that computes in float64, its inputs too: for checks that look at small changes of a score."""
        twin = copy.copy(self)
        twin.model, twin.dtype = copy.deepcopy(self._fitted()).double(), np.float64
        return twin

    @property
    def n_parameters(self) -> int:
        """Trainable weights."""
        return n_parameters(self.model) if self.model is not None else 0

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the network with fresh weights; model(*inputs) -> logits (n,)."""

    @abstractmethod
    def batches(
        self, x: Any, *targets: npt.NDArray[Any], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> RowBatches:
        """Return batches (*inputs, *targets) of what `prepare` made."""

    @abstractmethod
    def _standardise(self, model: Any, x: Any) -> None: ...

    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None:
        self.model = new_network(self.build, seed, self.name)
        self._standardise(self.model, x)
        self.history = History()

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        self._start(x, y, seed)
        c = self.config.fit
        train = self.batches(x, y, batch_size=c.batch_size, seed=derive_seed(seed, self.name, "order"))
        val = self.batches(x_val, y_val, batch_size=self.eval_batch, shuffle=False)
        self.history = fit(self._fitted(), loss, train, val, c, seed=seed, desc=self.name)

    def _score(self, x: Any) -> Scores:
        threads(self.config.fit.threads)
        batches = self.batches(x, batch_size=self.eval_batch, shuffle=False)
        logits = predict(self._fitted(), batches, lambda model, batch: model(*batch))
        out: Scores = torch.sigmoid(logits.double()).numpy()
        return out

    def _state(self) -> Arrays:
        return {name: tensor.cpu().numpy() for name, tensor in self._fitted().state_dict().items()}

    def _fitted(self) -> nn.Module:
        if self.model is None:
            raise RunError(f"the {self.name} tagger has no network yet; call .fit(train, val) first.")
        return self.model

    def _restore(self, state: Arrays) -> None:
        self.model = new_network(self.build, 0, self.name)
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self.model.eval()
