"""Denoising diffusion: noise is added to data in many small steps, and a network learns to take it off again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, suggest
from hepml_nb.learn.flow_matching import TimeNetwork, validation_noise
from hepml_nb.learn.flows import check_rows, weighted_mean
from hepml_nb.learn.layers import Standardise

__all__ = ["Diffusion", "NoiseSchedule", "denoise", "signal_share"]

NoiseSchedule = Literal["cosine", "linear"]

_FLOOR = 4e-5


def signal_share(steps: int, schedule: NoiseSchedule = "cosine") -> Tensor:
    """Return alpha-bar (steps + 1,), the share of the data's variance left after each step, from 1 down to about 0.

    "linear": steps of variance beta from 1e-4 to 0.02 at 1000 steps (arXiv:2006.11239), scaled by 1000 / steps;
    "cosine": arXiv:2102.09672 with offset 0.008 and betas up to 0.999. Both end at 4e-5, where "linear" ends by itself:
    what is left of the data divides the error of the network. Raises InputError for another name or no step.
    """
    if steps < 2 or schedule not in get_args(NoiseSchedule):
        known = get_args(NoiseSchedule)
        raise InputError(
            f"steps={steps!r}, schedule={schedule!r}; expected at least 2 and{suggest(str(schedule), known)}"
        )
    if schedule == "linear":
        beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64) * (1000 / steps)
    else:
        angle = (torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2
        beta = 1 - angle[1:].cos().square() / angle[:-1].cos().square()
    share = (1 - beta.clamp(max=0.999)).cumprod(0).clamp(min=_FLOOR)
    return torch.cat([torch.ones(1, dtype=torch.float64), share])


class Diffusion(nn.Module):
    """A conditional DDPM (arXiv:2006.11239): the network tells the noise in x_t = sqrt(a_t) x + sqrt(1 - a_t) noise.

    features, context: columns of x and of the context; steps, schedule: see `signal_share`. x and context are
    standardised by what `standardise` measured.
    """

    share: Tensor

    def __init__(
        self,
        features: int,
        context: int = 0,
        *,
        steps: int = 1000,
        schedule: NoiseSchedule = "cosine",
        hidden: Sequence[int] = (64, 64, 64),
        frequencies: int = 4,
    ) -> None:
        super().__init__()
        if features < 1 or context < 0:
            raise InputError(f"features={features!r}, context={context!r}; expected at least 1 and 0.")
        self.x_scale, self.features, self.context = Standardise(features), features, context
        self.network = TimeNetwork(features, context, hidden, frequencies)
        self.register_buffer("share", signal_share(steps, schedule).float())

    def standardise(self, x: Tensor, context: Tensor | None = None) -> Diffusion:
        """Measure shift and scale of data (n, features) and context (n, context) on the training split."""
        self.x_scale.fit(x)
        if self.context:
            self.network.context_scale.fit(check_rows(context, self.context, "context"))
        return self

    def loss(self, x: Tensor, context: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """Return the mean squared error of the told noise at random steps (the simple loss of arXiv:2006.11239).

        x: (n, features); context: (n, context); weights (n,): see `weighted_mean`. Draws from torch's generator.
        """
        clean = self.x_scale(check_rows(x, self.features, "x"))
        given, where = validation_noise(self, clean), clean.device
        step = torch.randint(1, len(self.share), (len(clean),), generator=given, device=where)
        noise = torch.randn(clean.shape, generator=given, dtype=clean.dtype, device=where)
        share = self.share[step][:, None]
        told = self.noise(share.sqrt() * clean + (1 - share).sqrt() * noise, step, context)
        return weighted_mean((told - noise).square().mean(1), weights)

    def noise(self, x: Tensor, step: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the noise (n, features) that is seen in standardised x (n, features) at steps (n,) from 1.

        Nearly all of x is noise at late steps, where `denoise` divides the error by sqrt(a_t): so the network gives the
        rest only, noise = sqrt(1 - a_t) x + sqrt(a_t) network (the velocity of arXiv:2202.00512), under the same loss.
        """
        given = x.new_zeros(len(x), 0) if context is None else context
        share = self.share[step][:, None].to(x.dtype)
        velocity: Tensor = self.network(x, step.to(x.dtype) / (len(self.share) - 1), given)
        return (1 - share).sqrt() * x + share.sqrt() * velocity

    def sample(self, context: Tensor | int, *, steps: int | None = None, eta: float = 1.0) -> Tensor:
        """Draw one x per row of the context (n, context), or n without one; steps (None: all) and eta: `denoise`."""
        n = context if isinstance(context, int) else len(context)
        given = None if isinstance(context, int) else context
        like = self.x_scale.mean
        start = torch.randn(n, self.features, dtype=like.dtype, device=like.device)
        clean = denoise(lambda x, step: self.noise(x, step, given), start, self.share, steps=steps, eta=eta)
        return clean * self.x_scale.scale + like


def denoise(
    noise: Callable[[Tensor, Tensor], Tensor], x: Tensor, share: Tensor, *, steps: int | None = None, eta: float = 1.0
) -> Tensor:
    """Take the noise off x (n, features), pure noise at first, and return what is left.

    noise(x, step) -> (n, features) tells the noise at integer steps (n,); share: alpha-bar (T + 1,). steps: about so
    many of the T, at T (i / steps)^2, denser where little noise is left (None: all). eta: 1 draws fresh noise after
    each step, which over all steps is the ancestral sampling of arXiv:2006.11239; 0 draws none: DDIM, deterministic
    given x (arXiv:2010.02502). Raises InputError for a number of steps or an eta out of range.
    """
    last = len(share) - 1
    wanted = last if steps is None else steps
    if not 1 <= wanted <= last or not 0 <= eta <= 1:
        raise InputError(f"steps={steps!r}, eta={eta!r}; expected from 1 to {last} (or None) and from 0 to 1.")
    power = 1 if wanted == last else 2
    ladder = sorted({round(last * (i / wanted) ** power) for i in range(wanted + 1)}, reverse=True)
    for here, after in pairwise(ladder):
        a, b = share[here].to(x.dtype), share[after].to(x.dtype)
        told = noise(x, torch.full((len(x),), here, device=x.device))
        clean = (x - (1 - a).sqrt() * told) / a.sqrt()
        fresh = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
        x = b.sqrt() * clean + (1 - b - fresh.square()).clamp(min=0).sqrt() * told
        if eta > 0 and after > 0:
            x = x + fresh * torch.randn_like(x)
    return x
