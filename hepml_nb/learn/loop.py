"""The one training loop: seeded, stopped early on the validation loss, resumed exactly, and clear when it diverges."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, RunError, derive_seed, device, progress, threads, tune_allocator
from hepml_nb.learn.checkpoint import Groups, read_tensors, write_tensors
from hepml_nb.learn.config import FitConfig, learning_rate
from hepml_nb.learn.history import Epoch, History

__all__ = ["Batches", "LossFn", "fit", "predict"]

Batch = Sequence[Tensor]
LossFn = Callable[[Any, Any], Tensor]


class Batches(Protocol):
    """What the loop reads: batches per epoch; the last tensor of each has one row per example."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[Batch]:
        """Return the batches of one epoch."""


def fit(
    model: nn.Module,
    loss_fn: LossFn,
    train: Batches | Sequence[Batch],
    val: Batches | Sequence[Batch],
    config: FitConfig | None = None,
    *,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    desc: str = "train",
) -> History:
    """Train `model` in place with Adam and leave it with the weights of the best validation loss.

    loss_fn(model, batch) -> mean loss of the batch, a scalar tensor; its random draws must come from torch.
    train, val: `RowBatches`, `SetBatches`, a DataLoader or a list of tuples of tensors; a batch's last tensor has one
    row per example. checkpoint: a file written after every epoch; if it exists the training goes on from there and ends
    with bitwise the same weights as an uninterrupted one (every epoch starts from its own seed, so the file holds
    weights, Adam's moments and the history, and no generator states). The caller's torch generator is left as it was.
    Raises InputError for batches that cannot be iterated again, and RunError when the loss or a gradient is not
    finite, saying at which step and what to try.
    """
    config = config or FitConfig()
    tune_allocator()
    threads(config.threads)
    where = device(config.device)
    model.to(where)
    for name, source in (("train", train), ("val", val)):
        _check_source(name, source)
    run = _Run(model, loss_fn, config, where, steps=config.epochs * len(train))
    path = Path(checkpoint) if checkpoint is not None else None
    identity = {
        "seed": seed,
        "batches": len(train),
        **{k: v for k, v in vars(config).items() if k not in ("device", "threads")},
    }
    if path is not None and path.exists():
        run.restore(path, identity)
    forked = [where] if where.type == "cuda" else []
    with progress(total=config.epochs, desc=desc, unit="epoch") as bar, torch.random.fork_rng(devices=forked):
        bar.update(len(run.epochs))
        for epoch in range(len(run.epochs), config.epochs):
            if run.stopped:
                break
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            run.one_epoch(epoch, _batches(train, epoch), _batches(val, 0))
            bar.update(1)
            bar.set_postfix_str(f"val_loss {run.epochs[-1].val_loss:.4f}, best {run.best_loss:.4f}")
            if path is not None:
                run.save(path, identity)
    if run.best_epoch:
        model.load_state_dict(run.best_state)
    model.eval()
    return History(tuple(run.epochs), run.best_epoch, run.stopped)


def predict(model: nn.Module, batches: Batches | Sequence[Batch], forward: Callable[[Any, Any], Tensor]) -> Tensor:
    """Return forward(model, batch) of all batches joined along the first axis, on the CPU, without gradients.

    Give batches made with shuffle=False, so that the rows come back in their order.
    """
    tune_allocator()
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    model.eval()
    with torch.inference_mode():
        parts = [forward(model, _to(batch, where)).cpu() for batch in _batches(batches, 0)]
    return torch.cat(parts)


@dataclass
class _Run:
    """The moving parts of one training."""

    model: nn.Module
    loss_fn: LossFn
    config: FitConfig
    where: torch.device
    steps: int
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        if not self.weights:
            raise InputError(f"{type(self.model).__name__} has no trainable parameters.")
        c = self.config
        self.optimizer = torch.optim.AdamW(
            self.weights, c.lr, weight_decay=c.weight_decay, fused=self.where.type != "mps"
        )

    @property
    def stopped(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        patience = self.config.patience
        return patience is not None and len(self.epochs) - self.best_epoch >= patience

    def one_epoch(self, epoch: int, train: Iterator[Batch], val: Iterator[Batch]) -> None:
        """Pass once over the training batches, then over the validation batches."""
        start, total, seen = time.perf_counter(), 0.0, 0
        self.model.train()
        for batch in train:
            loss, n = self._step(epoch, _to(batch, self.where))
            total, seen = total + loss * n, seen + n
        if not seen:
            raise InputError(
                f"train gave no batch in epoch {epoch + 1}; a generator can be read only once, use a list."
            )
        val_loss = self._validate(epoch, val)
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.epochs.append(Epoch(total / seen, val_loss, rate, seen, time.perf_counter() - start))
        if val_loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch + 1, val_loss
            self.best_state = copy.deepcopy(self.model.state_dict())

    def _step(self, epoch: int, batch: Batch) -> tuple[float, int]:
        rate = learning_rate(self.step, self.steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss_fn(self.model, batch)
        if loss.ndim:
            raise InputError(
                f"loss_fn returned a tensor of shape {tuple(loss.shape)}; expected the batch's mean, a scalar."
            )
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(self._diagnosis(f"the training loss is {value}", epoch, batch))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.weights, self.config.clip).item()
            if not math.isfinite(norm):
                raise RunError(self._diagnosis(f"the gradient norm is {norm}", epoch, batch))
        self.optimizer.step()
        self.step += 1
        return value, len(batch[-1])

    def _validate(self, epoch: int, val: Iterator[Batch]) -> float:
        total, seen = 0.0, 0
        self.model.eval()
        with torch.no_grad():
            for batch in val:
                batch = _to(batch, self.where)
                value = self.loss_fn(self.model, batch).item()
                if not math.isfinite(value):
                    raise RunError(self._diagnosis(f"the validation loss is {value}", epoch, batch))
                total, seen = total + value * len(batch[-1]), seen + len(batch[-1])
        if not seen:
            raise InputError(
                "val gave no batch; early stopping needs a validation split (a generator is read only once)."
            )
        return total / seen

    def _diagnosis(self, what: str, epoch: int, batch: Batch) -> str:
        rate = learning_rate(min(self.step, max(self.steps - 1, 0)), self.steps, self.config)
        place = f"{what} at step {self.step + 1} of {self.steps} (epoch {epoch + 1}, learning rate {rate:.2g})"
        bad = [i for i, t in enumerate(batch) if t.is_floating_point() and not bool(torch.isfinite(t).all())]
        if bad:
            return f"{place}: tensor(s) {bad} of the batch hold nan or inf; clean the inputs before training."
        if any(not bool(torch.isfinite(p).all()) for p in self.weights):
            return f"{place}: the weights are not finite any more; try lr={self.config.lr / 10:.2g}, or clip=1.0."
        return (
            f"{place}, with finite inputs and weights; try lr={self.config.lr / 10:.2g} or clip=1.0, and look for "
            "log(0), 0/0 or an overflow in the loss."
        )

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write everything that the next epoch depends on."""
        moments = self.optimizer.state_dict()["state"]
        adam = {f"{i}.{name}": t for i, values in moments.items() for name, t in values.items()}
        groups: Groups = {"model": self.model.state_dict(), "best": self.best_state, "adam": adam}
        history = History(tuple(self.epochs), self.best_epoch, self.stopped)
        write_tensors(path, groups, {"identity": identity, "step": self.step, "history": history.to_dict()})

    def restore(self, path: Path, identity: dict[str, Any]) -> None:
        """Take up a checkpoint; raise InputError where it has other settings or belongs to another network."""
        groups, info = read_tensors(path)
        theirs = info["identity"]
        names = [name for name in {**theirs, **identity} if theirs.get(name) != identity.get(name)]
        if names:
            told = ", ".join(f"{name} {theirs.get(name)!r} (now {identity.get(name)!r})" for name in names)
            raise InputError(f"{path} was written with other settings: {told}; use those, or another path.")
        try:
            self.model.load_state_dict(groups["model"])
        except RuntimeError as error:
            raise InputError(f"{path} belongs to another network: {error}") from error
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in groups.get("adam", {}).items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        history = History.from_dict(info["history"])
        self.epochs, self.best_epoch, self.step = list(history.epochs), history.best_epoch, info["step"]
        self.best_loss = history.best_val_loss if history.best_epoch else math.inf
        self.best_state = {k: t.to(self.where) for k, t in groups.get("best", {}).items()}


def _check_source(name: str, source: object) -> None:
    if not (hasattr(source, "epoch") or hasattr(source, "__iter__")) or not hasattr(source, "__len__"):
        raise InputError(
            f"{name} is a {type(source).__name__}; expected RowBatches, SetBatches, a DataLoader or a list of tuples "
            "of tensors (a generator can be read only once)."
        )
    if not len(source):
        raise InputError(f"{name} has no batches.")


def _batches(source: Any, epoch: int) -> Iterator[Batch]:
    return iter(source.epoch(epoch) if hasattr(source, "epoch") else source)


def _to(batch: Batch, where: torch.device) -> Batch:
    return tuple(t.to(where) for t in batch)
