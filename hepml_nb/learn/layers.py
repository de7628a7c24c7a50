"""The small parts that every network here is made of: standardised inputs and plain multilayer perceptrons."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError

__all__ = ["Standardise", "mlp", "n_parameters"]


class Standardise(nn.Module):
    """Shift and scale every feature to mean 0 and standard deviation 1, as measured on the training split only.

    Mean and scale are buffers: they are saved with the weights and see no gradient. Before `fit` it is the identity.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, x: Tensor) -> Standardise:
        """Measure mean and scale on x, shape (n, features); a constant feature keeps scale 1.

        Raises InputError for a wrong width or values that are not finite.
        """
        if x.ndim != 2 or x.shape[1] != len(self.mean) or len(x) == 0:
            raise InputError(f"x has shape {tuple(x.shape)}; expected (n, {len(self.mean)}) with n at least 1.")
        exact = x.double()  # float32 sums over millions of particles lose digits
        mean, scale = exact.mean(0), exact.std(0, correction=0)
        if not bool(torch.isfinite(mean).all()):
            bad = (~torch.isfinite(x)).any(0).nonzero().flatten().tolist()
            raise InputError(f"x has nan or infinite values in feature(s) {bad}; remove those rows first.")
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 1e-6 * (1 + mean.abs()), scale, 1.0))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / scale, shape as x, (..., features)."""
        return (x - self.mean) / self.scale


def mlp(widths: Sequence[int], *, dropout: float = 0.0) -> nn.Sequential:
    """Return linear layers of the given widths (inputs first, outputs last) with ReLU between them, none at the end."""
    if len(widths) < 2 or min(widths) < 1:
        raise InputError(f"widths={tuple(widths)!r}; expected at least an input and an output width, all positive.")
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        # in place: a linear layer's backward never reads its own output, and memory traffic is what costs
        layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers[: -2 if dropout else -1])


def n_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
