"""Diffusion in the variance-exploding form of Karras et al. (arXiv:2206.00364), and its distillation to one step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hepml_nb.core import InputError

__all__ = ["denoised", "edm_loss", "heun", "noise_levels"]

Network = Callable[[Tensor, Tensor], Tensor]
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
MEAN, SPREAD = -1.2, 1.2
"""Of the logarithm of the noise in training."""


def noise_levels(steps: int) -> Tensor:
    """Return noise levels (steps + 1,) from 80 down to 0.002 and 0, dense at the small ones; float64."""
    if steps < 1:
        raise InputError(f"steps={steps!r}; expected at least 1.")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64) if steps > 1 else torch.zeros(1, dtype=torch.float64)
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, torch.zeros(1, dtype=torch.float64)])


def denoised(network: Network, x: Tensor, sigma: Tensor, least: float = 0.0) -> Tensor:
    """Return the clean x (n, k) seen in noisy x of noise sigma (n,), for data of standard deviation 1.

    network(x, log sigma / 4) -> (n, k) gets inputs of unit variance. least: the noise at which x comes out unchanged,
    0 for a diffusion; a consistency model needs it at the smallest level (arXiv:2303.01469).
    """
    s = sigma[:, None]
    away = s - least
    skip, out = 1 / (away**2 + 1), away / (s**2 + 1).sqrt()
    return skip * x + out * network(x / (s**2 + 1).sqrt(), sigma.log() / 4)


def edm_loss(network: Network, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return per row (n,) the weighted squared error of the clean x (n, k), for noise of levels sigma (n,)."""
    clean = denoised(network, x + sigma[:, None] * noise, sigma)
    return ((sigma**2 + 1) / sigma**2) * (clean - x).square().mean(1)


def heun(network: Network, x: Tensor, steps: int) -> Tensor:
    """Carry noise x (n, k) of standard deviation 80 to clean data in Heun's steps: 2 steps - 1 calls."""
    levels = noise_levels(steps).to(x.dtype)
    for i in range(steps):
        here, after = levels[i], levels[i + 1]
        full = torch.full((len(x),), float(here), dtype=x.dtype)
        slope = (x - denoised(network, x, full)) / here
        moved = x + (after - here) * slope
        if after > 0:
            second = (moved - denoised(network, moved, torch.full_like(full, float(after)))) / after
            moved = x + (after - here) * (slope + second) / 2
        x = moved
    return x
