"""Draws from a Boltzmann density exp(-E / T) by Langevin steps, and the store that lets chains go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hepml_nb.core import InputError

__all__ = ["ChainConfig", "Replay", "langevin"]


@dataclass(frozen=True)
class ChainConfig:
    """steps: of a chain. noise: deviation of one step's noise. temperature: T of exp(-E / T)."""

    steps: int = 10
    noise: float = 0.2
    temperature: float = 0.05

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.noise < math.inf or not 0 < self.temperature < math.inf:
            raise InputError(
                f"steps={self.steps!r}, noise={self.noise!r}, temperature={self.temperature!r}; expected at least one "
                "step, and positive numbers."
            )


def langevin(
    x: Tensor,
    energy: Callable[[Tensor], Tensor],
    chain: ChainConfig,
    place: Callable[[Tensor], Tensor] = lambda x: x,
    *,
    differentiable: bool = False,
) -> Tensor:
    """Return where chains that start at x (n, d) are after `chain.steps` steps.

    A step is x - (noise^2 / 2) grad E(x) / T + noise times normal numbers, whose stationary density for small steps is
    proportional to exp(-E / T). energy: (n, d) -> (n,). place: puts points back to where they may be, after every step.
    differentiable: the result keeps the graph through all steps, so that a loss of it has a gradient in the energy's
    weights; otherwise it is cut off.
    """
    step = chain.noise**2 / 2
    with torch.enable_grad():
        x = x.detach()
        for _ in range(chain.steps):
            x = x if x.requires_grad else x.requires_grad_()
            (slope,) = torch.autograd.grad(energy(x).sum(), x, create_graph=differentiable)
            x = place(x - step / chain.temperature * slope + chain.noise * torch.randn_like(x))
            x = x if differentiable else x.detach()
    return x


class Replay:
    """Where earlier chains ended: persistent chains begin there, but for a share that begins anew.

    size: points that are kept. again: share of a new batch that goes on from kept ones.
    """

    def __init__(self, size: int = 10_000, again: float = 0.95) -> None:
        if size < 1 or not 0 <= again <= 1:
            raise InputError(f"size={size!r}, again={again!r}; expected at least 1, and a share from 0 to 1.")
        self.size, self.again = size, again
        self.points: Tensor | None = None

    def start(self, new: Tensor) -> Tensor:
        """Return starting points, of the shape of `new` (n, d): kept ones in the place of most of the new."""
        if self.points is None:
            return new
        kept = self.points[torch.randint(len(self.points), (len(new),))]
        return torch.where(torch.rand(len(new), 1) < self.again, kept, new)

    def keep(self, points: Tensor) -> None:
        """Keep points (n, d), and forget the oldest beyond `size`."""
        points = points.detach()
        self.points = (points if self.points is None else torch.cat([self.points, points]))[-self.size :]
