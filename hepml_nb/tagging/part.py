"""Particle Transformer: attention between all particles, told by the physics of every pair (arXiv:2202.03772)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, pad
from hepml_nb.learn.attention import Attention, drop
from hepml_nb.learn.normed import NormedStack
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.particles import MOMENTA, ParticleTagger, check_features, particles

__all__ = ["ParT", "ParTConfig", "ParTNetwork", "PlainTransformer", "pair_features"]


@dataclass(frozen=True)
class ParTConfig:
    """embed: widths that a particle's features pass; the last is the width of all blocks. heads: of the attention.

    blocks, class_blocks: of attention among the particles, and of the class token to them. pairs: widths of the
    embedding of the pairwise features, of which every head gets its bias; () leaves the pairs out: a plain transformer.
    dropout: in the particle blocks. features, most: what is seen of how many of the hardest particles. fit: the
    training; the paper's learning rate and batches, with AdamW for its Lookahead of RAdam.
    """

    embed: tuple[int, ...] = (128, 512, 128)
    heads: int = 8
    blocks: int = 8
    class_blocks: int = 2
    pairs: tuple[int, ...] = (64, 64, 64)
    dropout: float = 0.1
    features: tuple[str, ...] = ("deta_axis", "dphi_axis", "log_pt", "log_e", "log_pt_rel", "log_e_rel", "dr")
    most: int | None = 128
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=20, lr=1e-3, batch_size=512, weight_decay=0.01, patience=None)
    )

    def __post_init__(self) -> None:
        check_features(self.features)
        if not self.embed or self.embed[-1] % self.heads or min(self.blocks, self.class_blocks) < 1:
            raise InputError(
                f"embed={self.embed}, heads={self.heads}, blocks={self.blocks}, class_blocks={self.class_blocks}; "
                "expected at least one block of each, and a last width that the heads divide."
            )


def pair_features(p: Tensor, q: Tensor) -> Tensor:
    """Return ln kT, ln z, ln dR, ln m^2 of pairs of four-momenta p, q (..., 4) = e, px, py, pz in GeV: (..., 4).

    dR is the distance in rapidity and azimuth, kT = min(pt) dR, z = min(pt) / sum of pt. What would be the logarithm of
    less than 1e-8 is cut off there, as published.
    """
    tiny = 1e-8
    (pt_p, y_p, phi_p), (pt_q, y_q, phi_q) = _coordinates(p), _coordinates(q)
    dphi = torch.remainder(phi_p - phi_q + math.pi, 2 * math.pi) - math.pi
    dr, softer = torch.hypot(y_p - y_q, dphi), torch.minimum(pt_p, pt_q)
    e, x, y, z = (p + q).unbind(-1)
    m2 = e.square() - (x.square() + y.square() + z.square())
    values = (softer * dr, softer / (pt_p + pt_q).clamp(min=tiny), dr, m2)
    return torch.log(torch.stack(values, dim=-1).clamp_(min=tiny))


def _coordinates(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return pt, rapidity and azimuth of four-momenta (..., 4)."""
    e, x, y, z = p.unbind(-1)
    rapidity = 0.5 * torch.log(1 + 2 * z / (e - z).clamp(min=1e-20))
    return torch.hypot(x, y), rapidity, torch.atan2(y, x)


class _PairBias(nn.Module):
    """A bias per head for every pair of a jet: symmetric, so computed once per pair and shared by all blocks."""

    def __init__(self, widths: tuple[int, ...], heads: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.first = nn.Linear(4, widths[0], bias=False)
        self.rest = NormedStack((*widths, heads), activation="gelu", activated=False)

    def forward(self, momenta: Tensor, mask: Tensor) -> Tensor:
        """Map four-momenta (jets, n, 4) with their mask (jets, n) to biases (jets, heads, n, n)."""
        n = mask.shape[1]
        i, j = torch.tril_indices(n, n, device=mask.device)
        real = (mask[:, i] & mask[:, j]).flatten().nonzero().flatten()
        seen = pair_features(momenta[:, i].flatten(0, 1)[real], momenta[:, j].flatten(0, 1)[real])
        values = self.rest(self.first(self.norm(seen)))
        bias = values.new_zeros(len(mask) * len(i), values.shape[1]).index_copy(0, real, values)
        place = torch.zeros(n, n, dtype=torch.int64, device=mask.device)
        place[i, j] = place[j, i] = torch.arange(len(i), device=mask.device)
        bias = bias.view(len(mask), len(i), -1).transpose(1, 2).contiguous()
        out: Tensor = bias[:, :, place.flatten()].unflatten(2, (n, n))
        return out


class _Block(nn.Module):
    """Attention and a feed-forward part, normalised before and after each; the residual has a learnt weight."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.head_scale = nn.Parameter(torch.ones(heads))
        self.before_wide, self.after_wide = nn.LayerNorm(width), nn.LayerNorm(4 * width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.residual_scale = nn.Parameter(torch.ones(width))
        self.dropout = dropout

    def forward(self, x: Tensor, bias: Tensor | None, token: Tensor | None = None) -> Tensor:
        """Map particles x (jets, n, width), or the token (jets, 1, width) that looks at itself and x."""
        rate = self.dropout if self.training else 0.0
        if token is None:
            old, seen = x, self.before(x)
            asks = seen
        else:
            old = asks = token
            seen = self.before(torch.cat([token, x], dim=1))
        heard = self.attention(asks, seen, bias)
        heard = (heard.unflatten(2, (len(self.head_scale), -1)) * self.head_scale[:, None]).flatten(2)
        x = old + drop(self.after(heard), rate)
        y = drop(nn.functional.gelu(self.wide(self.before_wide(x))), rate)
        return drop(self.narrow(self.after_wide(y)), rate) + self.residual_scale * x


class ParTNetwork(nn.Module):
    """Particles -> embedding -> blocks with the pairs' bias -> a class token that listens -> logits.

    forward takes features and, if there are pairs, the four MOMENTA (GeV) after them. Batch normalisation (of the
    inputs and of the pairs) sees real particles and pairs only.
    """

    def __init__(self, config: ParTConfig) -> None:
        super().__init__()
        self.features, width = len(config.features), config.embed[-1]
        sizes = [self.features, *config.embed]
        layers = [(nn.LayerNorm(a), nn.Linear(a, b), nn.GELU()) for a, b in zip(sizes, config.embed, strict=False)]
        self.norm = nn.BatchNorm1d(self.features)
        self.embed = nn.Sequential(*(part for layer in layers for part in layer))
        self.pairs = _PairBias(config.pairs, config.heads) if config.pairs else None
        self.blocks = nn.ModuleList(_Block(width, config.heads, config.dropout) for _ in range(config.blocks))
        self.class_blocks = nn.ModuleList(_Block(width, config.heads, 0.0) for _ in range(config.class_blocks))
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.zeros(width), std=0.02))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self._initialise()

    def _initialise(self) -> None:
        """Xavier for all linear maps, and every further block writes less into the residual stream."""
        for name, part in self.named_modules():
            if isinstance(part, nn.Linear) and not name.startswith("pairs"):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
        blocks: list[Any] = list(self.blocks)
        with torch.no_grad():
            for depth, block in enumerate(blocks, start=1):
                block.attention.out.weight /= math.sqrt(2 * depth)
                block.narrow.weight /= math.sqrt(2 * depth)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, features [+ 4]) and lengths (jets,) to logits (jets,)."""
        block, mask = pad(torch.cat([self.embed(self.norm(x[:, : self.features])), x[:, self.features :]], 1), lengths)
        hidden = block[..., : self.token.shape[0]]
        closed = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, -torch.inf)[:, None, None]
        bias = closed.expand(-1, -1, mask.shape[1], -1)
        if self.pairs is not None:
            bias = self.pairs(block[..., -4:], mask) + closed
        for layer in self.blocks:
            hidden = layer(hidden, bias)
        token = self.token.expand(len(lengths), 1, -1)
        with_token = nn.functional.pad(closed, (1, 0))
        for layer in self.class_blocks:
            token = layer(hidden, with_token, token)
        out: Tensor = self.head(token)[:, 0, 0]
        return out


_SMALL = ParTConfig(
    embed=(32, 64, 32),
    heads=4,
    blocks=2,
    class_blocks=1,
    pairs=(16, 16),
    dropout=0.0,
    most=40,
    fit=FitConfig(epochs=6, lr=2e-3, batch_size=128, weight_decay=0.01, patience=None),
)


class ParT(ParticleTagger):
    """Particle Transformer: every pair's angle, momentum sharing and mass tell the attention where to look."""

    name = "part"
    configs = {"paper": ParTConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return ParTNetwork(self.config)

    def _seen(self) -> tuple[str, ...]:
        return (*self.config.features, *(MOMENTA if self.config.pairs else ()))

    def _inputs(self, jets: Any) -> Particles:
        return particles(jets, self._seen(), self.config.most, self.dtype)

    def _input_names(self) -> list[str]:
        return [*self._seen(), *([f"hardest {self.config.most}"] if self.config.most else [])]


class PlainTransformer(ParT):
    """The ablation: the same transformer without the pairwise features, "ParT (plain)" of the paper."""

    name = "part-plain"
    configs = {"paper": replace(ParTConfig(), pairs=()), "small": replace(_SMALL, pairs=())}  # noqa: RUF012
