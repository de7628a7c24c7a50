"""A conditional normalising flow: an exact density p(x | context) made of rational-quadratic splines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, suggest
from hepml_nb.learn.layers import Standardise

__all__ = ["ConditionalFlow", "FlowKind", "check_rows", "weighted_mean"]

FlowKind = Literal["coupling", "autoregressive"]


class ConditionalFlow(nn.Module):
    """An invertible map of x (n, features), given a context (n, context), to standard normal numbers.

    kind: "coupling" (half of the features move at a time: both directions cost the same; arXiv:1605.08803) or
    "autoregressive" (one pass for a density, `features` passes for a sample; arXiv:1705.07057). Each transform is a
    monotonic rational-quadratic spline of `bins` bins on [-5, 5], the identity outside (arXiv:1906.04032, by zuko).
    Inputs and context are shifted and scaled by what `standardise` measured, which counts in the density.
    Raises InputError for an unknown kind or no features.
    """

    def __init__(
        self,
        features: int,
        context: int = 0,
        *,
        kind: FlowKind = "coupling",
        transforms: int = 4,
        hidden: Sequence[int] = (64, 64),
        bins: int = 8,
    ) -> None:
        super().__init__()
        # imported here: it takes a while, and most of learn does without it
        from zuko.flows import NSF

        if kind not in get_args(FlowKind):
            raise InputError(f"kind={kind!r} is unknown{suggest(str(kind), get_args(FlowKind))}")
        if features < 1 or context < 0 or transforms < 1:
            raise InputError(
                f"features={features!r}, context={context!r}, transforms={transforms!r}; expected 1, 0, 1."
            )
        passes = 2 if kind == "coupling" else None
        self.x_scale, self.context_scale = Standardise(features), Standardise(context) if context else None
        self.features, self.context = features, context
        self.flow: Any = NSF(
            features, context, bins=bins, passes=passes, transforms=transforms, hidden_features=tuple(hidden)
        )

    def standardise(self, x: Tensor, context: Tensor | None = None) -> ConditionalFlow:
        """Measure shift and scale of inputs (n, features) and context (n, context) on the training split."""
        self.x_scale.fit(x)
        if self.context_scale is not None:
            self.context_scale.fit(check_rows(context, self.context, "context"))
        return self

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the normal numbers z (n, features) of x and log |dz / dx| (n,)."""
        z, log_det = self._map(context).call_and_ladj(self.x_scale(check_rows(x, self.features, "x")))
        return z, log_det - self.x_scale.scale.log().sum()

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the x (n, features) whose normal numbers are z: the inverse of `encode`."""
        x: Tensor = self._map(context).inv(check_rows(z, self.features, "z"))
        return x * self.x_scale.scale + self.x_scale.mean

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log p(x | context), natural logarithm, per row (n,), in the units of x."""
        z, log_det = self.encode(x, context)
        return log_det - 0.5 * z.square().sum(1) - 0.5 * self.features * math.log(2 * math.pi)

    def sample(self, context: Tensor | int) -> Tensor:
        """Draw one x per row of the context (n, context), or n of them without a context, from torch's generator."""
        if isinstance(context, int):
            return self.decode(torch.randn(context, self.features, **_like(self.x_scale.mean)))
        z = torch.randn(len(context), self.features, dtype=context.dtype, device=context.device)
        return self.decode(z, context)

    def loss(self, x: Tensor, context: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """Return the mean of -log p(x | context): maximum likelihood. weights (n,): see `weighted_mean`.

        Of an event of negative weight the logarithm stops at -20, or its density would be pushed to zero for ever.
        """
        log_prob = self.log_prob(x, context)
        if weights is not None:
            log_prob = torch.where(weights < 0, log_prob.clamp(min=-20.0), log_prob)
        return weighted_mean(-log_prob, weights)

    def _map(self, context: Tensor | None) -> Any:
        if self.context_scale is None:
            if context is not None:
                raise InputError("this flow was made without a context (context=0), but one was given.")
            return self.flow.transform(None)
        return self.flow.transform(self.context_scale(check_rows(context, self.context, "context")))


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of weights x losses over the batch (n,); weights of mean 1, of either sign (None: all 1)."""
    return losses.mean() if weights is None else (weights * losses).mean()


def check_rows(x: Tensor | None, features: int, name: str) -> Tensor:
    """Return x (n, features); raise InputError for another shape, or for nothing where something is needed."""
    if x is None or x.ndim != 2 or x.shape[1] != features:
        shape = "nothing" if x is None else f"shape {tuple(x.shape)}"
        raise InputError(f"{name} has {shape}; expected (n, {features}).")
    return x


def _like(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "device": tensor.device}
