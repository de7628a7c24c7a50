"""Conditional flow matching: a velocity that carries a source sample, noise or not, to p(x | context)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, suggest
from hepml_nb.learn.flows import check_rows, weighted_mean
from hepml_nb.learn.layers import Standardise

__all__ = ["FlowMatching", "OdeMethod", "TimeNetwork", "integrate", "validation_noise"]

OdeMethod = Literal["euler", "midpoint", "rk4"]


class TimeNetwork(nn.Module):
    """A dense network (SiLU) of a place x (n, features), a time in [0, 1] (n,) and a context (n, context).

    It gives one vector (n, features) per row. The time enters as itself with sine and cosine of 2 pi k t, k up to
    `frequencies`; the context is standardised.
    """

    steps: Tensor

    def __init__(self, features: int, context: int, hidden: Sequence[int] = (64, 64, 64), frequencies: int = 4) -> None:
        super().__init__()
        self.features, self.context = features, context
        self.context_scale = Standardise(context)
        self.register_buffer("steps", 2 * math.pi * torch.arange(1, frequencies + 1, dtype=torch.float32))
        widths = [features + context + 1 + 2 * frequencies, *hidden]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], features))

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Return one vector per row."""
        phase = t[:, None] * self.steps
        inputs = [x, self.context_scale(check_rows(context, self.context, "context")), t[:, None]]
        out: Tensor = self.layers(torch.cat([*inputs, phase.sin(), phase.cos()], 1))
        return out


class FlowMatching(nn.Module):
    """A flow whose velocity is regressed on straight lines from a source x0 to data x1 (arXiv:2210.02747).

    On the line x_t = (1 - (1 - s) t) x0 + t x1 the velocity is x1 - (1 - s) x0, with s = `sigma_min`; the network
    learns its mean at every (x_t, t, context). The source is standard normal noise unless it is given: a bridge. All of
    it happens in the standardised x of `standardise`, which both ends share.
    """

    def __init__(
        self,
        features: int,
        context: int = 0,
        *,
        hidden: Sequence[int] = (64, 64, 64),
        frequencies: int = 4,
        sigma_min: float = 0.0,
    ) -> None:
        super().__init__()
        if features < 1 or context < 0 or not 0 <= sigma_min < 1:
            raise InputError(
                f"features={features!r}, context={context!r}, sigma_min={sigma_min!r}; expected 1, 0, [0, 1)."
            )
        self.x_scale, self.features, self.context = Standardise(features), features, context
        self.network = TimeNetwork(features, context, hidden, frequencies)
        self.sigma_min = sigma_min

    def standardise(self, x: Tensor, context: Tensor | None = None) -> FlowMatching:
        """Measure shift and scale of data (n, features) and context (n, context) on the training split."""
        self.x_scale.fit(x)
        if self.context:
            self.network.context_scale.fit(check_rows(context, self.context, "context"))
        return self

    def loss(
        self,
        x: Tensor,
        context: Tensor | None = None,
        weights: Tensor | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Return the mean squared distance of the network from the velocity of random points on random lines.

        x, source: (n, features); context: (n, context); weights (n,): see `weighted_mean`. Noise and times come from
        torch's generator, in validation from one that starts anew.
        """
        x1 = self.x_scale(check_rows(x, self.features, "x"))
        given, like = validation_noise(self, x1), {"dtype": x1.dtype, "device": x1.device}
        if source is None:
            x0 = torch.randn(x1.shape, generator=given, **like)
        else:
            x0 = self.x_scale(check_rows(source, self.features, "source"))
        t = torch.rand(len(x1), generator=given, **like)
        start = 1 - self.sigma_min
        place = (1 - start * t[:, None]) * x0 + t[:, None] * x1
        distance = self.network(place, t, _context(context, x1)) - (x1 - start * x0)
        return weighted_mean(distance.square().mean(1), weights)

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the velocity (n, features) at standardised x (n, features) and times (n,)."""
        out: Tensor = self.network(x, t, _context(context, x))
        return out

    def sample(
        self,
        context: Tensor | int,
        source: Tensor | None = None,
        *,
        steps: int = 20,
        method: OdeMethod = "midpoint",
    ) -> Tensor:
        """Carry one source point per row of the context (n, context), or n without one, along the velocity to x.

        source: (n, features) in the units of x (None: noise from torch's generator). steps and method: `integrate`.
        """
        n = context if isinstance(context, int) else len(context)
        given = None if isinstance(context, int) else context
        like = self.x_scale.mean
        if source is None:
            x0 = torch.randn(n, self.features, dtype=like.dtype, device=like.device)
        else:
            x0 = self.x_scale(check_rows(source, self.features, "source"))
        end = integrate(lambda x, t: self.velocity(x, t, given), x0, steps=steps, method=method)[-1]
        return end * self.x_scale.scale + like


def validation_noise(model: nn.Module, x: Tensor, stream: int = 0) -> torch.Generator | None:
    """Return None where the model trains, for torch's own generator; else one that always starts alike.

    A loss that draws new noise in every epoch would make early stopping choose the luckiest epoch, not the best.
    """
    return None if model.training else torch.Generator(x.device).manual_seed(stream)


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, *, steps: int = 20, method: OdeMethod = "midpoint"
) -> list[Tensor]:
    """Return the path of dx/dt = velocity(x, t) from t = 0 to 1 in equal steps: steps + 1 tensors (n, features).

    method: "euler", "midpoint" or "rk4", of order 1, 2 and 4 in 1 / steps, for 1, 2 and 4 calls a step.
    Raises InputError for no step or another method.
    """
    if steps < 1 or method not in get_args(OdeMethod):
        raise InputError(
            f"steps={steps!r}, method={method!r}; expected at least 1 and{suggest(str(method), get_args(OdeMethod))}"
        )
    h, path = 1.0 / steps, [x]
    for i in range(steps):
        t = torch.full((len(x),), i * h, dtype=x.dtype, device=x.device)
        k1 = velocity(x, t)
        if method == "euler":
            slope = k1
        elif method == "midpoint":
            slope = velocity(x + h / 2 * k1, t + h / 2)
        else:
            k2 = velocity(x + h / 2 * k1, t + h / 2)
            k3 = velocity(x + h / 2 * k2, t + h / 2)
            slope = (k1 + 2 * k2 + 2 * k3 + velocity(x + h * k3, t + h)) / 6
        x = x + h * slope
        path.append(x)
    return path


def _context(context: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(len(x), 0) if context is None else context
