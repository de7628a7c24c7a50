"""What happened in a training, epoch by epoch, as an object that shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data: mean losses, the last learning rate, examples seen and seconds."""

    train_loss: float
    val_loss: float
    lr: float
    examples: int
    seconds: float


@dataclass(frozen=True)
class History:
    """The epochs of one training; the model holds the weights of `best_epoch` (counted from 1; 0: untrained)."""

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    stopped_early: bool = False

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def train_loss(self) -> npt.NDArray[np.float64]:
        """Mean training loss, shape (epochs,)."""
        return np.array([e.train_loss for e in self.epochs], dtype=np.float64)

    @property
    def val_loss(self) -> npt.NDArray[np.float64]:
        """Mean validation loss, shape (epochs,)."""
        return np.array([e.val_loss for e in self.epochs], dtype=np.float64)

    @property
    def best_val_loss(self) -> float:
        """Smallest validation loss; nan when untrained."""
        return self.epochs[self.best_epoch - 1].val_loss if self.best_epoch else float("nan")

    @property
    def seconds(self) -> float:
        """Wall seconds of all epochs, validation included."""
        return sum(e.seconds for e in self.epochs)

    @property
    def speed(self) -> float:
        """Training examples per wall second, validation included; nan when untrained."""
        return sum(e.examples for e in self.epochs) / self.seconds if self.seconds else float("nan")

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(untrained)"
        stop = ", stopped early" if self.stopped_early else ""
        return (
            f"History({len(self)} epochs{stop}, best {self.best_epoch} with val_loss {self.best_val_loss:.4f}, "
            f"{self.seconds:.1f} s, {self.speed:,.0f} examples/s)"
        )

    def _repr_markdown_(self) -> str:
        marks = [" ★" if i + 1 == self.best_epoch else "" for i in range(len(self))]
        rows = [
            f"| {i + 1}{mark} | {e.train_loss:.4f} | {e.val_loss:.4f} | {e.lr:.1e} | {e.seconds:.1f} |"
            for i, (e, mark) in enumerate(zip(self.epochs, marks, strict=True))
        ]
        head = ["| epoch | train loss | val loss | lr | s |", "| ---: | ---: | ---: | ---: | ---: |"]
        return "\n".join([f"`{self!r}`", "", *head, *rows]) if rows else f"`{self!r}`"

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers that JSON and a weights-only checkpoint can hold."""
        return {
            "epochs": [asdict(e) for e in self.epochs],
            "best_epoch": self.best_epoch,
            "stopped_early": self.stopped_early,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """Rebuild a history from `to_dict()`."""
        epochs = tuple(Epoch(**row) for row in data["epochs"])
        return cls(epochs, int(data["best_epoch"]), bool(data["stopped_early"]))
