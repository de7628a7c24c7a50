"""What the trainings of generators have in common: none where a method is to stay untrained, and the loss of a flow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from hepml_nb.learn import FitConfig

__all__ = ["epochs_of", "flow_loss"]


def epochs_of(config: FitConfig, untrained: bool) -> FitConfig:
    """Return the training, or one of no step where it is to stay untrained."""
    return replace(config, epochs=0) if untrained else config


def flow_loss(flow: Any, batch: Any) -> Tensor:
    """Return the loss of a flow on a batch (x, context), as `learn.fit` asks for it."""
    loss: Tensor = flow.loss(*batch)
    return loss
