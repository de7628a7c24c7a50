"""The epochs of lowest validation loss of a training, whose outputs the published methods average."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["BestEpochs", "own_loss"]


def own_loss(model: Any, batch: Any) -> Tensor:
    """Return model.loss(*batch), the loss of a network that brings its own."""
    loss: Tensor = model.loss(*batch)
    return loss


class BestEpochs:
    """A loss for `learn.fit` that keeps the weights of the epochs with the lowest validation loss.

    best: so many epochs are kept. loss: loss(model, batch) -> scalar, as `learn.fit` wants it.
    Give the validation events as one batch: every call while the model does not train then is the end of an epoch.
    """

    def __init__(self, best: int, loss: Callable[[Any, Any], Tensor] = own_loss) -> None:
        self.best, self.loss = best, loss
        self._kept: list[tuple[float, int, Mapping[str, Tensor]]] = []
        self._seen = 0

    def __call__(self, model: Any, batch: Any) -> Tensor:
        loss = self.loss(model, batch)
        if not model.training:
            self._seen += 1
            entry = (-float(loss), self._seen)
            if len(self._kept) < self.best or entry > self._kept[0][:2]:
                state = copy.deepcopy(model.state_dict())
                (heapq.heappush if len(self._kept) < self.best else heapq.heapreplace)(self._kept, (*entry, state))
        return loss

    def models(self, model: nn.Module) -> list[Any]:
        """Return a copy of the model for each kept epoch, best first; the model itself where none was kept."""
        made = []
        for _, _, state in sorted(self._kept, reverse=True, key=lambda one: one[:2]):
            made.append(copy.deepcopy(model))
            made[-1].load_state_dict(state)
            made[-1].eval()
        return made or [model.eval()]
