"""Adversarial training: critics and makers step in turn, with Wasserstein's distance and a penalty on slopes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, RunError, derive_seed, device, progress, threads, tune_allocator
from hepml_nb.learn import Epoch, FitConfig, History, RowBatches, learning_rate

__all__ = ["Duel", "alternate", "critic_loss", "slope_penalty"]

Score = Callable[[Tensor], Tensor]


def slope_penalty(score: Score, real: Tensor, made: Tensor) -> Tensor:
    """Return the mean of (|gradient of the score| - 1)^2 at random points between real and made rows, both (n, d).

    The gradient penalty of WGAN-GP (arXiv:1704.00028), which holds a critic near functions of slope at most 1.
    """
    share = torch.rand(len(real), 1, device=real.device)
    between = (share * real.detach() + (1 - share) * made.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    penalty: Tensor = ((slope.square().sum(1) + 1e-12).sqrt() - 1).square().mean()
    return penalty


def critic_loss(score: Score, real: Tensor, made: Tensor, penalty: float) -> Tensor:
    """Return mean score of made rows less that of real ones, plus penalty times `slope_penalty` (arXiv:1704.00028).

    At its least, without the last term, it is minus Wasserstein's distance of the two; the makers lose -score(made).
    """
    return score(made.detach()).mean() - score(real).mean() + penalty * slope_penalty(score, real, made)


@dataclass(frozen=True)
class Duel:
    """What `alternate` trains: losses of critics and of makers for a batch, and whose weights each may move.

    critic_steps: steps of the critics before each of the makers. average: the makers end with the exponential mean of
    their weights over about 1 / (1 - average) steps (arXiv:1806.04498), which calms their circling; 0 leaves the last.
    """

    critic_loss: Callable[..., Tensor]
    maker_loss: Callable[..., Tensor]
    critics: nn.Module
    makers: nn.Module
    critic_steps: int = 5
    average: float = 0.998
    betas: tuple[float, float] = (0.0, 0.9)

    def __post_init__(self) -> None:
        if self.critic_steps < 1 or not 0 <= self.average < 1:
            raise InputError(
                f"critic_steps={self.critic_steps}, average={self.average}; expected at least 1, and one in [0, 1)."
            )


def alternate(duel: Duel, rows: RowBatches, config: FitConfig, seed: int) -> History:
    """Train critics and makers in turn on batches of rows; leave both in evaluation mode, the makers averaged.

    A batch serves one step: critic_steps batches the critics, the next one the makers. Nothing stops early, since no
    loss says how good the makers are. History: train_loss is the makers', val_loss the critics', both means of the
    epoch. Raises RunError, with the step and what to try, where a loss or a weight is not finite any more.
    """
    tune_allocator()
    threads(config.threads)
    where = device(config.device)
    sides = (duel.critics.to(where).train(), duel.makers.to(where).train())
    weights = [[p for p in side.parameters() if p.requires_grad] for side in sides]
    steppers = [torch.optim.Adam(part, config.lr, betas=duel.betas) for part in weights]
    mean = copy.deepcopy(weights[1])
    epochs: list[Epoch] = []
    step, made, steps = 0, 0, config.epochs * len(rows)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        for epoch in progress(range(config.epochs), desc="adversarial", unit="epoch"):
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            start, total, count = time.perf_counter(), [0.0, 0.0], [0, 0]
            for batch in rows.epoch(epoch):
                which = int(step % (duel.critic_steps + 1) == duel.critic_steps)
                loss = (duel.critic_loss, duel.maker_loss)[which](*(tensor.to(where) for tensor in batch))
                value = loss.item()
                rate = learning_rate(step, steps, config)
                if not abs(value) < float("inf"):
                    raise RunError(_diagnosis(value, which, step, steps, config, batch))
                for group in steppers[which].param_groups:
                    group["lr"] = rate
                _step(loss, weights[which], steppers[which], config.clip)
                step, made = step + 1, made + which
                total[which], count[which] = total[which] + value, count[which] + 1
                if which:
                    _follow(mean, weights[1], min(duel.average, 1 - 1 / made))
            losses = [a / max(b, 1) for a, b in zip(total, count, strict=True)]
            epochs.append(Epoch(losses[1], losses[0], rate, sum(count), time.perf_counter() - start))
    _follow(weights[1], mean, 0.0)
    for side in sides:
        side.eval()
    return History(tuple(epochs), len(epochs))


def _step(loss: Tensor, weights: Sequence[Tensor], stepper: torch.optim.Optimizer, clip: float | None) -> None:
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
        weight.grad = gradient
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(weights, clip)
    stepper.step()


@torch.no_grad()
def _follow(mean: Iterable[Tensor], weights: Iterable[Tensor], keep: float) -> None:
    """Move the first weights towards the second: mean = keep * mean + (1 - keep) * weights."""
    for slow, now in zip(mean, weights, strict=True):
        slow.mul_(keep).add_(now, alpha=1 - keep)


def _diagnosis(value: float, which: int, step: int, steps: int, config: FitConfig, batch: Any) -> str:
    side = ("critics", "makers")[which]
    bad = [i for i, tensor in enumerate(batch) if not bool(torch.isfinite(tensor).all())]
    hint = f"tensor(s) {bad} of the batch are not finite" if bad else f"try lr={config.lr / 10:.2g}, or clip=1.0"
    return f"the loss of the {side} is {value} at step {step + 1} of {steps}: {hint}."
