"""A masked autoregressive flow, where every voxel is told those before it: one pass for a density, one step a voxel."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from hepml_nb.calo.stacked import StackedFlow
from hepml_nb.core import InputError

__all__ = ["MaskedBlock", "MaskedFlow"]


class MaskedBlock(nn.Module):
    """An affine autoregressive map (arXiv:1705.07057): y_i = x_i exp(s_i) + t_i, where s_i and t_i know x_1 to x_i-1.

    They come from one masked network (MADE, arXiv:1502.03509) of ReLU layers `hidden`, which also sees the context.
    order (features,): which feature comes first, second ...; y is in this order. Logarithms of scales are
    clamp * tanh(s / clamp). It is the identity (in its order) before training.
    """

    order: Tensor
    back: Tensor

    def __init__(self, features: int, context: int, hidden: tuple[int, ...], clamp: float, order: Tensor) -> None:
        super().__init__()
        self.features, self.clamp = features, clamp
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())
        # seen[l][j]: how many features hidden unit j of layer l may know; sorted, so that units are ready one by one
        self.seen = [np.arange(features), *(np.arange(width) * features // width for width in hidden)]
        self.maps = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise([features, *hidden, 2 * features]))
        self.told = nn.Linear(context, hidden[0], bias=False)
        knows = [torch.from_numpy(seen) for seen in self.seen]
        masks = [(knows[0] < knows[1][:, None])] + [a <= b[:, None] for a, b in itertools.pairwise(knows[1:])]
        masks.append((knows[-1] <= torch.arange(features)[:, None]).repeat(2, 1))
        for i, mask in enumerate(masks):
            self.register_buffer(f"mask_{i}", mask.float(), persistent=False)
        for weight in self._layers[-1].parameters():
            nn.init.zeros_(weight)

    @property
    def _layers(self) -> list[Any]:
        return list(self.maps)

    def terms(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of scales and shifts (n, features) for x in the block's order."""
        h = x
        for i, layer in enumerate(self._layers):
            h = linear(relu(h) if i else h, layer.weight * self.get_buffer(f"mask_{i}"), layer.bias)
            h = h if i else h + self.told(context)
        scale, shift = h.chunk(2, 1)
        return self._soft(scale), shift

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return y (n, features), in the block's order, and log |dy / dx| (n,): one pass."""
        ordered = x[:, self.order]
        scale, shift = self.terms(ordered, context)
        return ordered * scale.exp() + shift, scale.sum(1)

    @torch.no_grad()
    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """Return x (n, features) of y, feature by feature; every hidden unit is computed once, when it can be.

        So all steps together cost the multiplications of one pass, and what is slow is that they cannot go together.
        """
        weights = [layer.weight * self.get_buffer(f"mask_{i}") for i, layer in enumerate(self._layers)]
        biases, told = [layer.bias for layer in self._layers], self.told(context).T
        # numbers of one feature or unit lie side by side: (units, n)
        layers = [y.new_zeros(len(seen), len(y)) for seen in self.seen]
        ready = [0] * len(layers)
        for i in range(self.features):
            for level, seen in enumerate(self.seen[1:], 1):
                first, last = ready[level], int(np.searchsorted(seen, i, side="right"))
                if last > first:
                    known = i if level == 1 else ready[level - 1]
                    unit = weights[level - 1][first:last, :known] @ layers[level - 1][:known]
                    unit += biases[level - 1][first:last, None]
                    layers[level][first:last] = relu(unit + told[first:last] if level == 1 else unit)
                    ready[level] = last
            both = [i, self.features + i]
            out = weights[-1][both][:, : ready[-1]] @ layers[-1][: ready[-1]] + biases[-1][both][:, None]
            layers[0][i] = (y[:, i] - out[1]) * torch.exp(-self._soft(out[0]))
        return layers[0].T[:, self.back]

    def _soft(self, scale: Tensor) -> Tensor:
        return self.clamp * torch.tanh(scale / self.clamp)


class MaskedFlow(StackedFlow):
    """`RingSplines` and then masked autoregressive blocks in random orders. Raises InputError for no blocks."""

    def __init__(
        self,
        group_of: np.ndarray,
        context: int,
        *,
        blocks: int = 4,
        hidden: tuple[int, ...] = (256, 256),
        clamp: float = 2.0,
        bins: int = 10,
    ) -> None:
        super().__init__(group_of, context, bins)
        if blocks < 1 or clamp <= 0 or not hidden:
            raise InputError(f"blocks={blocks}, clamp={clamp}, hidden={hidden}; expected 1, above 0, and a layer.")
        orders = (torch.randperm(self.features) for _ in range(blocks))
        self.blocks = nn.ModuleList(MaskedBlock(self.features, context, hidden, clamp, order) for order in orders)

    def steps(self, bent: Tensor, told: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return bent numbers (n, features) and the result of each block, and the scales and shifts of the blocks.

        The latter are (2, n, features), in the order of their block. told: a standardised context.
        """
        found, terms = [bent], []
        blocks: list[Any] = list(self.blocks)
        for block in blocks:
            ordered = found[-1][:, block.order]
            scale, shift = block.terms(ordered, told)
            terms.append(torch.stack([scale, shift]))
            found.append(ordered * scale.exp() + shift)
        return found, terms
