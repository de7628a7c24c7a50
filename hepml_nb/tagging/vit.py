"""A vision transformer on jet images: patches are tokens, and attention says which of them it looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig
from hepml_nb.tagging.images import ImageTagger, Pixels

__all__ = ["ViT", "ViTBlock", "ViTConfig", "ViTNetwork"]


@dataclass(frozen=True)
class ViTConfig:
    """size, half_width: pixels per side and half the image's width (rad). patch: pixels per side of a token.

    dim, depth, heads, hidden: width of the tokens, number of blocks, attention heads, width inside a block's network.
    fit: the training. Defaults are ViT-B/16 of arXiv:2010.11929 (86 M weights, from scratch), not for a CPU.
    """

    size: int = 224
    half_width: float = 0.8
    patch: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=3e-4, batch_size=128, weight_decay=0.1))

    def __post_init__(self) -> None:
        if self.size % self.patch or self.dim % self.heads:
            raise InputError(
                f"size={self.size}, patch={self.patch}, dim={self.dim}, heads={self.heads}; expected size to be a "
                "multiple of patch, and dim of heads."
            )


class ViTBlock(nn.Module):
    """Pre-norm attention and network, each added to its input: (n, tokens, dim) -> the same shape."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after attention and network."""
        q, k, v = self._heads(x)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def attention(self, x: Tensor) -> Tensor:
        """Return the attention of this block averaged over heads: (n, tokens, tokens), rows add up to 1."""
        q, k, _ = self._heads(x)
        return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1).mean(1)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, tokens, dim = x.shape
        parts = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, dim // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v


class ViTNetwork(nn.Module):
    """Aligned particles -> image -> patches -> transformer -> class token -> logits."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.side = config.size // config.patch
        self.pixels = Pixels(config.size, config.half_width)
        self.embed = nn.Conv2d(1, config.dim, config.patch, config.patch)
        self.token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.position = nn.Parameter(torch.randn(1, self.side**2 + 1, config.dim) * 0.02)
        self.blocks = nn.ModuleList(ViTBlock(config.dim, config.heads, config.hidden) for _ in range(config.depth))
        self.norm, self.head = nn.LayerNorm(config.dim), nn.Linear(config.dim, 1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map aligned particles z, x, y (sum of lengths, 3) and lengths (n,) to logits (n,)."""
        x = self._tokens(values, lengths)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x[:, 0]))[:, 0]
        return out

    def attention(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return how much of the class token comes from each patch: (n, side, side), adding up to 1 per jet.

        Attention of all heads averaged, the residual connection as one half of every block, multiplied over the blocks
        (attention rollout, arXiv:2005.00928; cumulative maps of seed row S2/110).
        """
        x = self._tokens(values, lengths)
        one = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        rollout = one.expand(len(x), -1, -1)
        for block in self.blocks:
            rollout = (cast(ViTBlock, block).attention(x) + one) / 2 @ rollout
            x = block(x)
        maps = rollout[:, 0, 1:]
        return (maps / maps.sum(1, keepdim=True)).view(len(x), self.side, self.side)

    def _tokens(self, values: Tensor, lengths: Tensor) -> Tensor:
        patches = self.embed(self.pixels(values, lengths)).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1) + self.position


_SMALL = ViTConfig(
    size=40, patch=8, dim=32, depth=3, heads=4, hidden=64, fit=FitConfig(epochs=10, lr=3e-3, batch_size=128, patience=4)
)


class ViT(ImageTagger):
    """Vision transformer (arXiv:2010.11929), trained from scratch; seed row S2/110 fine-tunes a pre-trained one."""

    name = "vit"
    configs = {"paper": ViTConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return ViTNetwork(self.config)

    def attention(self, jets: Any) -> npt.NDArray[np.float32]:
        """Return the attention maps (jets, patches per side, patches per side), rows along y from below."""
        inputs = self.prepare(jets)
        with torch.inference_mode():
            maps = self._network().attention(*(torch.from_numpy(a) for a in inputs))
        out: npt.NDArray[np.float32] = maps.numpy()
        return out

    def _network(self) -> ViTNetwork:
        return cast(ViTNetwork, self._fitted())
