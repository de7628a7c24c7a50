"""PELICAN: dot products of all pairs, and every linear map of them that permutations leave alone (arXiv:2307.16506)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.core import InputError
from hepml_nb.learn import ChannelNorm, FitConfig, dense
from hepml_nb.tagging.lorentz import METRIC, Jets, beams, check_momenta, jet_block
from hepml_nb.tagging.particles import MOMENTA, ParticleTagger

__all__ = ["Eq2to2", "Pelican", "PelicanConfig", "PelicanNetwork", "Scalars1to2"]


@dataclass(frozen=True)
class PelicanConfig:
    """wide, narrow: channels after an aggregation and after a message layer; the paper's networks are 132 and 78 (208k
    parameters), 60 and 35 (48k, the default), 25 and 15 (11k). labels: how many of the wide ones at the input tell
    beams from particles. blocks: of message and aggregation. average: the number of vectors to which aggregates are
    compared. symmetric: the maps are averaged over i and j, so that the matrix stays as symmetric as the dot products
    are (the paper lets the layers tell the two apart). dropout: in every block and before the end. features: the
    four-momenta, then scalars. most: hardest particles taken. fit: the training; the paper's is AdamW at 2.5e-3,
    batches of 100.
    """

    wide: int = 60
    narrow: int = 35
    labels: int = 10
    blocks: int = 5
    average: float = 49.0
    symmetric: bool = False
    dropout: float = 0.01
    features: tuple[str, ...] = MOMENTA
    most: int | None = 80
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=35, lr=2.5e-3, batch_size=100, warmup=4 / 35, weight_decay=5e-3)
    )

    def __post_init__(self) -> None:
        check_momenta(self.features)
        if not 0 < self.labels < self.wide:
            raise InputError(f"labels={self.labels}; expected at least 1 and fewer than wide={self.wide} channels.")


def _powers(sizes: Tensor, average: float, alpha: Tensor) -> Tensor:
    """Return (n / average)^alpha for alpha (a, inputs) and sizes (jets,): (a, inputs, jets)."""
    return torch.exp(alpha[..., None] * torch.log(sizes / average))


class _Factorised(nn.Module):
    """Coefficients (b, outputs, inputs) of b maps as sums of two products, which spares most of them."""

    def __init__(self, maps: int, inputs: int, outputs: int) -> None:
        super().__init__()
        by_map, by_channel = 1 / math.sqrt(maps), 1 / math.sqrt(inputs)
        self.map_in = nn.Parameter(by_map * torch.randn(maps, inputs))
        self.map_out = nn.Parameter(by_map * torch.randn(maps, outputs))
        self.mix_in = nn.Parameter(by_channel * torch.randn(outputs, inputs))
        self.mix_out = nn.Parameter(by_channel * torch.randn(outputs, inputs))

    def forward(self) -> Tensor:
        """Return the coefficients."""
        return self.map_in[:, None, :] * self.mix_in + self.map_out[:, :, None] * self.mix_out


class Eq2to2(nn.Module):
    """The 15 linear maps between matrices that commute with permutations, and two biases, one on the diagonal.

    Per channel: x_ij, x_ji and the diagonal (also spread over rows and columns); means over columns and over rows, each
    on the diagonal, over rows and over columns; the means of the diagonal and of all, everywhere and on the diagonal.
    The ten means are multiplied by (n / average)^alpha with learnt alpha, so that multiplicity is not lost.
    """

    def __init__(self, inputs: int, outputs: int, average: float, *, symmetric: bool = False) -> None:
        super().__init__()
        self.average, self.symmetric = average, symmetric
        self.coefficients = _Factorised(15, inputs, outputs)
        self.alpha = nn.Parameter(torch.rand(10, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs, 1))
        self.diagonal_bias = nn.Parameter(torch.zeros(outputs, 1))

    def forward(self, x: Tensor, sizes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x (inputs, jets, n, n), zero where there is no pair, to (outputs, jets, n, n); sizes (jets,): real n."""
        w = self.coefficients()
        f = _powers(sizes, self.average, self.alpha)[..., None]
        n = sizes[:, None]
        diagonal = x.diagonal(dim1=-2, dim2=-1)
        rows = x.sum(-1) / n
        columns = rows if self.symmetric else x.sum(-2) / n
        trace, total = diagonal.sum(-1, keepdim=True) / n, rows.sum(-1, keepdim=True) / n

        def mix(terms: dict[int, Tensor]) -> Tensor:
            weights = torch.cat([w[b] for b in terms], dim=1)
            stacked = torch.cat(list(terms.values()))
            return (weights @ stacked.flatten(1)).view(-1, *stacked.shape[1:])

        to_row = mix({4: diagonal, 7: columns * f[2], 10: rows * f[5]})
        to_row = to_row + mix({11: trace * f[6], 13: total * f[8]}) + self.bias[..., None]
        to_column = mix({3: diagonal, 6: columns * f[1], 9: rows * f[4]})
        on_diagonal = mix({2: diagonal, 5: columns * f[0], 8: rows * f[3]})
        on_diagonal = on_diagonal + mix({12: trace * f[7], 14: total * f[9]}) + self.diagonal_bias[..., None]
        if self.symmetric:
            to_row = to_column = (to_row + to_column) / 2
            out = ((w[0] + w[1]) @ x.flatten(1)).view(-1, *x.shape[1:])
        else:
            out = (w[0] @ x.flatten(1)).view(-1, *x.shape[1:])
            out = out + (w[1] @ x.flatten(1)).view_as(out).transpose(-1, -2)
        out = out + to_row[..., :, None]
        out += to_column[..., None, :]
        out.diagonal(dim1=-2, dim2=-1).add_(on_diagonal)
        out = functional.leaky_relu_(out)
        return out if mask is None else out * mask


class Message(nn.Module):
    """Mix the channels of every pair, then normalise them over the batch."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(inputs, outputs), ChannelNorm(outputs), nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x (inputs, jets, n, n) to (outputs, jets, n, n)."""
        out: Tensor = self.dropout(self.norm(functional.leaky_relu_(dense(self.linear, x)), mask))
        return out


class Scalars1to2(nn.Module):
    """The five maps of numbers per particle to matrices: s_j, s_i, their mean, and both on the diagonal."""

    def __init__(self, inputs: int, outputs: int, average: float, *, symmetric: bool = False) -> None:
        super().__init__()
        self.average, self.symmetric = average, symmetric
        self.coefficients = _Factorised(5, inputs, outputs)
        self.alpha = nn.Parameter(torch.zeros(5, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, s: Tensor, sizes: Tensor) -> Tensor:
        """Map s (inputs, jets, n), zero where there is no particle, to (outputs, jets, n, n)."""
        w = self.coefficients()
        f = _powers(sizes, self.average, self.alpha)[..., None]
        mean = (s.sum(-1, keepdim=True) / sizes[:, None]).expand_as(s)
        terms = [w[b] @ functional.leaky_relu(v * f[b]).flatten(1) for b, v in enumerate((s, s, s, mean, mean))]
        on_diagonal, to_column, to_row, mean_diagonal, everywhere = (t.view(-1, *s.shape[1:]) for t in terms)
        if self.symmetric:
            to_column = to_row = (to_column + to_row) / 2
        out: Tensor = (to_row + everywhere + self.bias)[..., :, None] + to_column[..., None, :]
        out.diagonal(dim1=-2, dim2=-1).add_(on_diagonal + mean_diagonal)
        return out


class PelicanNetwork(nn.Module):
    """Encoded dot products, blocks of message and aggregation, the two maps to numbers per jet, a linear layer.

    Beams (1, 0, 0, +-1) GeV stand beside the particles. One logit stands for the difference of the papers' two.
    """

    references: Tensor

    def __init__(self, config: PelicanConfig) -> None:
        super().__init__()
        wide, narrow, kinds = config.wide, config.narrow, 2 + len(config.features) - 4
        average, symmetric = config.average, config.symmetric
        self.register_buffer("references", beams(0.0))
        self.average = average
        self.powers = nn.Parameter(torch.linspace(0.05, 0.5, wide - config.labels))
        self.scalars = Scalars1to2(kinds, config.labels, average, symmetric=symmetric)
        self.messages = nn.ModuleList(Message(wide, narrow, config.dropout) for _ in range(config.blocks + 1))
        self.aggregations = nn.ModuleList(
            Eq2to2(narrow, wide, average, symmetric=symmetric) for _ in range(config.blocks)
        )
        self.alpha = nn.Parameter(torch.rand(2, narrow))
        self.to_jet = nn.Linear(2 * narrow, wide)
        self.out = nn.Linear(wide, 1)
        nn.init.zeros_(self.out.weight)  # random sums of invariants tell tops apart already; start at no answer
        nn.init.zeros_(self.out.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 4 + scalars) and lengths (jets,) to logits (jets,)."""
        jets = jet_block(values, lengths, self.references)
        pairs = None if jets.mask is None else jets.mask[:, :, None] & jets.mask[:, None, :]
        x = self.encode(jets, pairs)
        for message, aggregate in zip(self.messages, self.aggregations, strict=False):
            x = aggregate(message(x, pairs), jets.sizes, pairs)
        x = self.messages[-1](x, pairs)
        f = _powers(jets.sizes, self.average, self.alpha)
        n = jets.sizes
        total, trace = x.sum((-1, -2)) / n**2, x.diagonal(dim1=-2, dim2=-1).sum(-1) / n
        summary = functional.leaky_relu(torch.cat([total * f[0], trace * f[1]])).T
        logits: Tensor = self.out(self.dropout(self.to_jet(summary)))[:, 0]
        return logits

    def encode(self, jets: Jets, pairs: Tensor | None) -> Tensor:
        """Return ((1 + |d|)^a - 1) / a with the sign of the dot products d, learnt a, and the labels' channels."""
        p = jets.momenta
        dots = (p * p.new_tensor(METRIC)) @ p.transpose(1, 2)
        a = self.powers.abs()[:, None, None, None] + 1e-6
        x = torch.sign(dots) * torch.expm1(a * torch.log1p(dots.abs())) / a
        x = torch.cat([x, self.scalars(jets.scalars.permute(2, 0, 1), jets.sizes)])
        return x if pairs is None else x * pairs


_FIT = FitConfig(epochs=10, lr=5e-3, batch_size=64, patience=None)
_SMALL = PelicanConfig(wide=10, narrow=8, labels=2, blocks=2, symmetric=True, dropout=0.0, most=24, fit=_FIT)
_TINY = PelicanConfig(wide=4, narrow=3, labels=3, symmetric=True, dropout=0.0, most=24, fit=_FIT)


class Pelican(ParticleTagger):
    """PELICAN on four-momenta; "tiny" has five blocks as the paper and about a thousand parameters."""

    name = "pelican"
    eval_batch = 64  # blocks of pairs grow with the square of the length
    configs = {"paper": PelicanConfig(), "small": _SMALL, "tiny": _TINY}  # noqa: RUF012 - a Mapping, never changed

    @staticmethod
    def network(config: PelicanConfig | None = None) -> PelicanNetwork:
        """Return the network of a configuration (None: "small") with fresh weights."""
        return PelicanNetwork(config or _SMALL)

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return PelicanNetwork(self.config)
