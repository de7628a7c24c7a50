"""LorentzNet: messages weighted by Minkowski products, momenta that are updated with them (arXiv:2201.08187)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.learn import ChannelNorm, FitConfig, dense, others
from hepml_nb.tagging.lorentz import METRIC, Jets, beams, check_momenta, jet_block, signed_log
from hepml_nb.tagging.particles import MOMENTA, ParticleTagger

__all__ = ["LGEB", "BlockNetwork", "LorentzNet", "LorentzNetConfig", "LorentzNetwork"]


@dataclass(frozen=True)
class LorentzNetConfig:
    """hidden: width. layers: blocks. step: the factor c of the update of the momenta. dropout: in the decoder.

    beams: two vectors (sqrt(2), 0, 0, +-1) GeV beside the particles, as in the released code; without them the network
    is invariant under the whole Lorentz group, and cannot tell where the beam is. features: the four-momenta, then
    scalars. most: hardest particles taken (None: all). fit: the training; the paper's is AdamW, learning rate 1e-3,
    batches of 32 on each of four devices, 35 epochs of which 5 warm up (then restarts of a cosine, here one flank).
    """

    hidden: int = 72
    layers: int = 6
    step: float = 5e-3
    dropout: float = 0.2
    beams: bool = True
    features: tuple[str, ...] = MOMENTA
    most: int | None = None
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=35, lr=1e-3, batch_size=128, warmup=5 / 35, weight_decay=1e-2)
    )

    def __post_init__(self) -> None:
        check_momenta(self.features)


class LGEB(nn.Module):
    """Lorentz group equivariant block: scalars h and vectors x of every particle learn from all others.

    forms: rows of four signs and zeros, each a quadratic form that the symmetry leaves alone and that says which
    components mix; LorentzNet has one, the metric. last: the vectors are not updated any more.
    """

    forms: Tensor

    def __init__(self, hidden: int, scalars: int, step: float, *, forms: Any = (METRIC,), last: bool = False) -> None:
        super().__init__()
        self.register_buffer("forms", torch.tensor(forms), persistent=False)
        k, self.step = len(forms), step
        self.edge_in = nn.Linear(2 * hidden + 2 * k, hidden, bias=False)
        self.edge_norm = ChannelNorm(hidden)
        self.edge_out = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1)
        self.node_in = nn.Linear(2 * hidden + scalars, hidden)
        self.node_norm = ChannelNorm(hidden)
        self.node_out = nn.Linear(hidden, hidden)
        self.last = last
        if not last:
            self.vector_in, self.vector_out = nn.Linear(hidden, hidden), nn.Linear(hidden, k, bias=False)
            nn.init.xavier_uniform_(self.vector_out.weight, gain=1e-3)

    def forward(
        self, h: Tensor, x: Tensor, scalars: Tensor, mask: Tensor | None, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update h (hidden, jets, n) and x (4, jets, n); scalars (s, jets, n), mask (jets, n), sizes (jets,)."""
        x_i, x_j = x[..., None], others(x)
        difference = x_i - x_j  # rather than from dot products, where rounding would leave little of it
        pairs = None if mask is None else mask[..., None] & others(mask)
        m = self.messages(h, self.invariants(difference, x_i * x_j), pairs)
        if not self.last:
            weight = dense(self.vector_out, functional.relu_(dense(self.vector_in, m)))
            weight = weight if pairs is None else weight * pairs
            by_component = (self.forms.abs().T @ weight.flatten(1)).view_as(difference)
            x = x + self.step * (by_component * difference).sum(-1) / (sizes - 1).clamp(min=1)[:, None]
        received = (m if pairs is None else m * pairs).sum(-1)
        node = self.node_norm(dense(self.node_in, torch.cat([h, received, scalars])), mask)
        return h + dense(self.node_out, functional.relu(node)), x

    def invariants(self, difference: Tensor, product: Tensor) -> Tensor:
        """Return the norms of the differences and the products of all pairs in every form, tamed: (2k, jets, ...)."""
        squares = self.forms @ (difference * difference).flatten(1)
        dots = self.forms @ product.flatten(1)
        return signed_log(torch.cat([squares, dots])).view(2 * len(self.forms), *product.shape[1:])

    def messages(self, h: Tensor, invariants: Tensor, pairs: Tensor | None) -> Tensor:
        """Return the gated messages from j to i, (hidden, jets, n, n-1)."""
        # a linear layer on (h_i, h_j, invariants) is a sum of three, two of which see n vectors, not n^2 pairs
        width, w = len(h), self.edge_in.weight
        receive, send, pair = w[:, :width], w[:, width : 2 * width], w[:, 2 * width :]
        ours, theirs = ((part @ h.flatten(1)).view_as(h) for part in (receive, send))
        summed = (pair @ invariants.flatten(1)).view(width, *invariants.shape[1:])
        summed = summed + ours[..., None] + others(theirs)
        m = functional.relu_(dense(self.edge_out, functional.relu_(self.edge_norm(summed, pairs))))
        return m * torch.sigmoid(dense(self.gate, m))


def decoder(hidden: int, dropout: float) -> nn.Sequential:
    """Return the network on the mean of the scalars; it starts at a logit of 0 for all, as invariants tell a lot."""
    end = nn.Linear(hidden, 1)
    nn.init.zeros_(end.weight)
    nn.init.zeros_(end.bias)
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout), end)


class BlockNetwork(nn.Module):
    """Embedded scalars, blocks on all pairs, the mean of the scalars over the vectors that there are, a decoder.

    config: has hidden, layers, step and dropout. scalars: per vector. forms: see LGEB.
    """

    def __init__(self, config: Any, scalars: int, forms: Any = (METRIC,)) -> None:
        super().__init__()
        self.embed = nn.Linear(scalars, config.hidden)
        last = [i == config.layers - 1 for i in range(config.layers)]
        self.blocks = nn.ModuleList(LGEB(config.hidden, scalars, config.step, forms=forms, last=end) for end in last)
        self.decode = decoder(config.hidden, config.dropout)

    def logits(self, jets: Jets, x: Tensor, scalars: Tensor) -> Tensor:
        """Map the momenta x (4, jets, n) and scalars (s, jets, n) of padded jets to logits (jets,)."""
        h = dense(self.embed, scalars)
        for block in self.blocks:
            h, x = block(h, x, scalars, jets.mask, jets.sizes)
        h = h if jets.mask is None else h * jets.mask
        out: Tensor = self.decode((h.sum(-1) / jets.sizes).T)[:, 0]
        return out


class LorentzNetwork(BlockNetwork):
    """LorentzNet's blocks on the particles and, where there are any, the beams.

    Scalars of a vector: signed_log(m^2) in the place of its kind, beam or particle. The mean is over the vectors that
    there are (the released code divides by the padded length, so that a score depended on its batch), and one logit
    stands for the difference of its two. The released code takes m where there are beams; our particles are massless,
    and a root of rounding is larger than the rounding.
    """

    references: Tensor | None

    def __init__(self, config: LorentzNetConfig) -> None:
        super().__init__(config, 2 + len(config.features) - 4)
        self.register_buffer("references", beams(1.0) if config.beams else None)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 4 + scalars) and lengths (jets,) to logits (jets,)."""
        jets = jet_block(values, lengths, self.references)
        x = jets.momenta.permute(2, 0, 1).contiguous()
        mass = signed_log((x * x * x.new_tensor(METRIC)[:, None, None]).sum(0))
        scalars = jets.scalars.permute(2, 0, 1)
        return self.logits(jets, x, torch.cat([scalars[:2] * mass, scalars[2:]]))


_SMALL = LorentzNetConfig(
    hidden=16, layers=2, dropout=0.0, most=24, fit=FitConfig(epochs=8, lr=5e-3, batch_size=64, patience=None)
)


class LorentzNet(ParticleTagger):
    """LorentzNet on four-momenta."""

    name = "lorentznet"
    eval_batch = 64  # blocks of pairs grow with the square of the length
    configs = {"paper": LorentzNetConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    @staticmethod
    def network(config: LorentzNetConfig | None = None) -> LorentzNetwork:
        """Return the network of a configuration (None: "small") with fresh weights."""
        return LorentzNetwork(config or _SMALL)

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return LorentzNetwork(self.config)
