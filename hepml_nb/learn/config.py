"""How a network is trained: the frozen configuration of the loop and the learning rate it means at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from hepml_nb.core import InputError, suggest

__all__ = ["FitConfig", "Schedule", "learning_rate"]

Schedule = Literal["one-cycle", "cosine", "constant"]


@dataclass(frozen=True)
class FitConfig:
    """The settings of one training.

    epochs: at most this many passes (0 leaves the model untrained). lr: the peak learning rate of Adam.
    batch_size: examples per step. schedule: "one-cycle" (up to `lr` over the first `warmup` of all steps, then down
    to nearly zero), "cosine" (down only) or "constant". patience: stop after this many epochs without a better
    validation loss (None: never). clip: largest gradient norm (None: unlimited). weight_decay: decoupled (AdamW).
    device: "auto" or a torch device name. threads: torch threads (None: see core.threads); steps of less than about
    1 ms gain nothing from a second thread and lose much when it has to share its core.
    """

    epochs: int = 20
    lr: float = 1e-3
    batch_size: int = 256
    schedule: Schedule = "one-cycle"
    warmup: float = 0.3
    patience: int | None = 5
    clip: float | None = None
    weight_decay: float = 0.0
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            raise InputError(f"schedule={self.schedule!r} is unknown{suggest(str(self.schedule), get_args(Schedule))}")
        limits = {
            "epochs": (self.epochs, self.epochs >= 0, "at least 0"),
            "lr": (self.lr, 0 < self.lr < math.inf, "positive and finite"),
            "batch_size": (self.batch_size, self.batch_size >= 1, "at least 1"),
            "warmup": (self.warmup, 0 <= self.warmup < 1, "a fraction of all steps in [0, 1)"),
            "patience": (self.patience, self.patience is None or self.patience >= 1, "at least 1, or None"),
            "clip": (self.clip, self.clip is None or self.clip > 0, "positive, or None"),
            "threads": (self.threads, self.threads is None or self.threads >= 1, "at least 1, or None"),
            "weight_decay": (self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0"),
        }
        for name, (value, good, expected) in limits.items():
            if not good:
                raise InputError(f"{name}={value!r} cannot be used; expected {expected}.")


def learning_rate(step: int, steps: int, config: FitConfig) -> float:
    """Return the learning rate of step `step` (from 0) out of `steps`.

    A pure function, so that a resumed training needs no scheduler state. One-cycle follows arXiv:1708.07120 with
    cosine flanks, from lr / 25 to lr to lr / 10^4.
    """
    if config.schedule == "constant":
        return config.lr
    rising = config.warmup * steps if config.schedule == "one-cycle" else 0.0
    low_start, low_end = config.lr / 25, config.lr / 1e4
    if step < rising:
        low, phase = low_start, 1 - step / rising
    else:
        low, phase = low_end, (step - rising) / max(steps - 1 - rising, 1)
    return low + (config.lr - low) * (1 + math.cos(math.pi * min(phase, 1.0))) / 2
