"""The Sinkhorn divergence between two batches: an optimal-transport distance with a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hepml_nb.core import InputError

__all__ = ["sinkhorn_divergence"]


def sinkhorn_divergence(x: Tensor, y: Tensor, *, blur: float = 1.0, iterations: int = 10) -> Tensor:
    """Return the debiased entropic transport cost between points x (n, d) and y (m, d), a scalar (arXiv:1810.08278).

    The cost of moving a point is half its squared distance, and the entropy has the temperature blur^2:
    S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2, which is zero where both are equal, and not before. The dual
    potentials come from `iterations` symmetric steps in the log domain while the temperature falls to blur^2, and see
    no gradient: at their optimum that of the cost is that of the plan they mean (Danskin's theorem), so that nothing
    is differentiated through the iterations. Raises InputError for other shapes or settings.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise InputError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected (n, d) and (m, d).")
    if blur <= 0 or iterations < 1:
        raise InputError(f"blur={blur!r}, iterations={iterations!r}; expected a positive length and at least 1.")
    settings = (blur, iterations)
    return _cost(_half_squares(x, y), *settings) - _own_cost(x, *settings) / 2 - _own_cost(y, *settings) / 2


def _half_squares(x: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (x.square().sum(1)[:, None] + y.square().sum(1)[None, :]) - x @ y.T


def _cost(distance: Tensor, blur: float, iterations: int) -> Tensor:
    """Return the entropic transport cost (its dual value), whose gradient is that of the optimal plan."""
    with torch.no_grad():
        f, g = _potentials(distance.detach(), blur, iterations)
    # half a step more on either side: its gradient is that of the plan
    f_last, g_last = _soft_minimum(distance, g, blur**2), _soft_minimum(distance.T, f, blur**2)
    return (f_last.mean() + g.mean() + f.mean() + g_last.mean()) / 2


def _own_cost(x: Tensor, blur: float, iterations: int) -> Tensor:
    """Return the cost from x to x, where both potentials are equal."""
    distance = _half_squares(x, x)
    with torch.no_grad():
        fixed, f = distance.detach(), distance.new_zeros(len(x))
        for temperature in _temperatures(fixed, blur, iterations):
            f = (f + _soft_minimum(fixed, f, temperature)) / 2
    return _soft_minimum(distance, f, blur**2).mean() + f.mean()


def _temperatures(distance: Tensor, blur: float, iterations: int) -> list[float]:
    """Return temperatures that fall from the largest cost to blur^2 in the first half of the iterations."""
    first, last = max(float(distance.max()), blur**2), blur**2
    return [first * (last / first) ** min(1.0, 2 * i / iterations) for i in range(iterations)]


def _potentials(distance: Tensor, blur: float, iterations: int) -> tuple[Tensor, Tensor]:
    n, m = distance.shape
    f, g = distance.new_zeros(n), distance.new_zeros(m)
    for temperature in _temperatures(distance, blur, iterations):
        new_f, new_g = _soft_minimum(distance, g, temperature), _soft_minimum(distance.T, f, temperature)
        f, g = (f + new_f) / 2, (g + new_g) / 2
    return f, g


def _soft_minimum(distance: Tensor, potential: Tensor, temperature: float) -> Tensor:
    """Return -T log of the mean over columns of exp((potential - distance) / T), one value per row."""
    logs = torch.logsumexp((potential - distance) / temperature, 1) - math.log(len(potential))
    return -temperature * logs
