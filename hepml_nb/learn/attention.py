"""Multi-head attention with a bias per head and pair, and a dropout whose random numbers come eight at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError

__all__ = ["Attention", "drop"]


def drop(x: Tensor, rate: float) -> Tensor:
    """Return x with a share `rate` (to 1/65536) of its numbers set to 0 and the others scaled up by 1 / (1 - rate).

    One 64-bit number of torch's generator decides on four numbers, where torch's own dropout draws one for each.
    """
    if rate == 0.0:
        return x
    limit = round(rate * 2**16)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = (words.view(torch.int16)[: x.numel()] >= limit - 2**15).view(x.shape)
    return x * keep.to(x.dtype).mul_(2**16 / (2**16 - limit))


class Attention(nn.Module):
    """Scaled dot-product attention of `heads` heads (arXiv:1706.03762) with an additive bias on every logit.

    The weights of the projections lie as in nn.MultiheadAttention. dropout: of the attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise InputError(f"width={width!r} is not a multiple of heads={heads!r}.")
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.dropout = heads, dropout

    def forward(self, asks: Tensor, seen: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map queries (sets, m, width) and what they look at (sets, n, width) to (sets, m, width).

        bias: added to the logits, broadcast to (sets, heads, m, n); -inf closes a pair.
        """
        weights, values = self.weights(asks, seen, bias)
        rate = self.dropout if self.training else 0.0
        heard = drop(weights, rate) @ values
        out: Tensor = self.out(heard.transpose(1, 2).flatten(2))
        return out

    def weights(self, asks: Tensor, seen: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the attention weights (sets, heads, m, n), which sum to 1 over n, and the values they weight."""
        width = asks.shape[2]
        if asks is seen:
            q, k, v = self.project(seen).chunk(3, dim=2)
        else:
            w, b = self.project.weight, self.project.bias
            q = nn.functional.linear(asks, w[:width], b[:width])
            k, v = nn.functional.linear(seen, w[width:], b[width:]).chunk(2, dim=2)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q / math.sqrt(width / self.heads), k, v))
        logits = q @ k.transpose(2, 3)
        if bias is not None:
            logits += bias
        return torch.softmax(logits, dim=3), v
