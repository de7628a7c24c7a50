"""L-GATr: a transformer on the geometric algebra of space-time, from the package of its authors (arXiv:2405.14806)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from lgatr import LGATr, embed_bivector, embed_vector, extract_scalar
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.learn import FitConfig
from hepml_nb.tagging.lorentz import check_momenta, jet_block
from hepml_nb.tagging.particles import MOMENTA, ParticleTagger

__all__ = ["LGatrConfig", "LGatrNetwork", "LGatrTagger"]

_PLANE = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
_TIME = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


@dataclass(frozen=True)
class LGatrConfig:
    """blocks: of attention and MLP. multivectors, scalars: hidden channels of each. heads: of attention. widen: how
    many times more channels attention and MLP have inside. parity: only maps that commute with reflections too, half as
    many. unit: GeV to which momenta are compared. plane, time: references, the plane across the beam and the
    laboratory's time; without time the score does not change under boosts along the beam. features: the four-momenta,
    then scalars. most: hardest particles taken (None: all). fit: the training; the paper's is Lion at 3e-4 with weight
    decay 0.2, 200k steps of 128 jets, a cosine; here it is AdamW.
    """

    blocks: int = 12
    multivectors: int = 16
    scalars: int = 32
    heads: int = 8
    widen: int = 2
    parity: bool = False
    unit: float = 20.0
    plane: bool = True
    time: bool = True
    features: tuple[str, ...] = MOMENTA
    most: int | None = None
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=21, lr=3e-4, batch_size=128, schedule="cosine", weight_decay=0.2)
    )

    def __post_init__(self) -> None:
        check_momenta(self.features)


def _wedge(a: Tensor, b: Tensor) -> Tensor:
    """Return the plane that two vectors span, as a multivector (16,): what boosts and rotations do to it follows."""
    pairs = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    found: Tensor = embed_bivector(torch.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs]))
    return found


class LGatrNetwork(nn.Module):
    """Tokens: one of its own, which carries the answer, the references, the particles; the answer is a scalar part.

    references: two vectors that span the plane, then the time, (0, 2, 1 or 3, 4).
    """

    references: Tensor

    def __init__(self, config: LGatrConfig) -> None:
        super().__init__()
        self.unit, self.plane, self.time = config.unit, config.plane, config.time
        vectors = [_PLANE] * config.plane + [_TIME] * config.time
        self.register_buffer("references", torch.cat(vectors) if vectors else torch.empty(0, 4))
        self.net = LGATr(
            num_blocks=config.blocks, in_mv_channels=1, out_mv_channels=1, hidden_mv_channels=config.multivectors,
            in_s_channels=1 + len(config.features) - 4, out_s_channels=0, hidden_s_channels=config.scalars,
            attention={"num_heads": config.heads, "attn_ratio": config.widen, "head_scale": True},
            mlp={"mlp_ratio": config.widen},
            primitives={"subgroup": not config.parity, "sparse_gp": False},  # dense products are faster on a CPU
        )  # fmt: skip

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 4 + scalars) and lengths (jets,) to logits (jets,)."""
        jets = jet_block(values, lengths)
        added = self.added(jets.momenta)
        tokens = torch.cat([added.expand(len(lengths), *added.shape), embed_vector(jets.momenta / self.unit)], dim=1)
        scalars = functional.pad(jets.scalars[..., 2:], (1, 0, len(added), 0))
        scalars[:, 0, 0] = 1
        options: dict[str, Any] = {}
        if jets.mask is not None:
            options["attn_mask"] = functional.pad(jets.mask, (len(added), 0), value=True)[:, None, None, :]
        found, _ = self.net(tokens[:, :, None], scalars=scalars, **options)
        out: Tensor = extract_scalar(found)[:, 0, 0, 0]
        return out

    def added(self, like: Tensor) -> Tensor:
        """Return the tokens beside the particles: the answer's, which starts as zero, and the references', (r, 16)."""
        rows = [like.new_zeros(16)]
        if self.plane:
            rows.append(_wedge(self.references[0], self.references[1]))
        if self.time:
            rows.append(embed_vector(self.references[-1]))
        return torch.stack(rows)


_SMALL = LGatrConfig(
    blocks=2, multivectors=4, scalars=8, heads=2, widen=1, parity=True, most=16,
    fit=FitConfig(epochs=4, lr=3e-3, batch_size=64, schedule="cosine", patience=None),
)  # fmt: skip


class LGatrTagger(ParticleTagger):
    """L-GATr on four-momenta."""

    name = "l-gatr"
    configs = {"paper": LGatrConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return LGatrNetwork(self.config)
