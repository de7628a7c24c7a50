"""Token models of jets: particles in bins are a sequence, and a jet whose next token is badly guessed is unusual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork, NetworkJetOutlier
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, pad
from hepml_nb.learn.attention import Attention

__all__ = ["STOP", "MaskedToken", "MaskedTokenNetwork", "NextToken", "NextTokenNetwork", "TokenConfig", "Tokens"]

Score = Literal["mean", "sum"]
Spacing = Literal["even", "quantiles"]

_BINNED = ("log_pt_rel", "deta_axis", "dphi_axis")
_KINDS = ("charged", "photon", "neutral", "electron", "muon")  # 1, 2, ...; 0 is any other
STOP = 1 + len(_KINDS)
"""The kind of the token that ends a jet."""

_TAIL = 0.002  # share of the particles beyond either end of even bins


@dataclass(frozen=True)
class TokenConfig:
    """bins: of each of log(pt / jet pt), deta and dphi. width, heads, blocks: of the transformer.

    spacing: "even" bins, or "quantiles", which hold equally many particles of the training jets each. The probability
    of a bin is a density times its width, so that this choice decides which particles are rare: with quantiles no
    single one is, and only what comes together with what can be unusual. score: the "mean" surprise of the tokens of a
    jet, or their "sum". passes: of "masked-token", each of which hides one particle in so many. most: hardest particles
    taken; a jet with that many has no stop, as there may have been more.
    """

    bins: int = 40
    width: int = 256
    heads: int = 8
    blocks: int = 3
    spacing: Spacing = "even"
    score: Score = "mean"
    passes: int = 8
    most: int = 128
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=30, lr=1e-3, batch_size=256, schedule="constant", clip=5.0)
    )

    def __post_init__(self) -> None:
        for name, least in {"bins": 2, "width": 1, "heads": 1, "blocks": 1, "passes": 2, "most": 1}.items():
            if not isinstance(n := getattr(self, name), int) or n < least:
                raise InputError(f"{name}={n!r}; expected a number of at least {least}.")
        for name, known in (("score", Score), ("spacing", Spacing)):
            if (value := getattr(self, name)) not in get_args(known):
                raise InputError(f"{name}={value!r} is unknown{suggest(str(value), get_args(known))}")


class Tokens(nn.Module):
    """Particles as tokens of four integers: the kind and the bins of pt, deta and dphi."""

    edges: Tensor

    def __init__(self, bins: int, spacing: Spacing = "even") -> None:
        super().__init__()
        self.spacing = spacing
        self.register_buffer("edges", torch.linspace(-1, 1, bins + 1).repeat(len(_BINNED), 1))

    def fit(self, values: Tensor) -> None:
        """Set the edges by particles (n, features)."""
        shares = torch.linspace(0, 1, self.edges.shape[1], device=values.device)
        columns = values[:, : len(_BINNED)].T.sort(dim=1).values
        last = columns.shape[1] - 1
        low, high = columns[:, [int(_TAIL * last)]], columns[:, [last - int(_TAIL * last)]]
        even = self.spacing == "even"
        self.edges.copy_(low + (high - low) * shares if even else columns[:, (shares * last).long()])

    def encode(self, values: Tensor) -> Tensor:
        """Return the tokens (n, 4) of particles (n, features); what lies outside goes to the outermost bins."""
        kinds = values[:, len(_BINNED) :] @ torch.arange(1, STOP, device=values.device, dtype=values.dtype)
        columns, inner = values.T.contiguous(), self.edges[:, 1:-1].contiguous()
        return torch.stack([kinds.long(), *(torch.bucketize(columns[i], inner[i]) for i in range(len(inner)))], 1)

    def decode(self, tokens: Tensor) -> Tensor:
        """Return log(pt / jet pt), deta and dphi (n, 3) in the middle of the bins of tokens (n, 4)."""
        middles = (self.edges[:, 1:] + self.edges[:, :-1]) / 2
        return torch.stack([middles[i][tokens[:, 1 + i]] for i in range(len(middles))], 1)


class _Block(nn.Module):
    """Attention, then two layers per place, each normalised before and added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.before, self.between = Attention(width, heads), nn.LayerNorm(width), nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, closed: Tensor) -> Tensor:
        y = self.before(x)
        x = x + self.attention(y, y, closed)
        out: Tensor = x + self.layers(self.between(x))
        return out


class NextTokenNetwork(JetNetwork):
    """The probability of a jet: of each particle given all harder ones, hardest first, then of the stop.

    The parts of a token are predicted one after another, each given those before, and enter as the sum of their
    embeddings: one vocabulary of kinds * bins^3 tokens, with far fewer weights.
    """

    def __init__(self, config: TokenConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.tokens = Tokens(config.bins, config.spacing)
        sizes = (STOP + 1, *[config.bins] * len(_BINNED))
        embed, heads = [nn.Embedding(n, width) for n in sizes], [nn.Linear(width, n) for n in sizes]
        self.embed, self.heads = nn.ModuleList(embed), nn.ModuleList(heads)
        self.place = nn.Embedding(config.most + 1, width)
        self.unknown = nn.Parameter(torch.zeros(width))  # what stands for the start, or for a hidden token
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        for layer in (*embed, self.place):
            nn.init.normal_(layer.weight, std=0.3)
        for head in heads:  # at the start, all tokens are alike
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Set the bins."""
        self.tokens.fit(values)

    def block(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (jets, longest, 4) and which are there (jets, longest)."""
        return pad(self.tokens.encode(values), lengths)

    def embedded(self, tokens: Tensor) -> Tensor:
        """Return tokens (..., 4) as vectors (..., width)."""
        parts = [embed(tokens[..., i]) for i, embed in enumerate(self.embed)]
        return torch.stack(parts).sum(0)

    def states(self, x: Tensor, closed: Tensor) -> Tensor:
        """Return what the transformer makes of vectors (jets, n, width); closed: -inf where a place may not look."""
        x = x + self.place.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x, closed)
        out: Tensor = self.norm(x)
        return out

    def guess(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Return -log p (m,), in nats, of tokens (m, 4) given states (m, width); a stop has a kind only."""
        total, particle = torch.zeros_like(states[:, 0]), tokens[:, 0] != STOP
        for i, (embed, head) in enumerate(zip(self.embed, self.heads, strict=True)):
            part = functional.cross_entropy(head(functional.gelu(states)), tokens[:, i], reduction="none")
            total = total + (part if i == 0 else part * particle)
            states = states + embed(tokens[:, i])
        return total

    def surprises(self, tokens: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log p of the tokens of jets, particles (jets, n, 4) and stops: (jets, n + 1), and where there is one.

        there: (jets, n), True for particles.
        """
        (jets, n), lengths = there.shape, there.sum(1)
        later = torch.full((n + 1, n + 1), -torch.inf, device=there.device).triu(1)
        start = self.unknown.expand(jets, 1, -1)
        states = self.states(torch.cat([start, self.embedded(tokens)], 1), later)
        place = torch.arange(n + 1, device=there.device)
        targets = functional.pad(tokens, (0, 0, 0, 1))
        targets[..., 0] = torch.where(place == lengths[:, None], STOP, targets[..., 0])
        asked = place < (lengths + (lengths < self.config.most))[:, None]
        return _spread(self.guess(states[asked], targets[asked]), asked), asked

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the cross-entropy per token."""
        surprises, asked = self.surprises(*self.block(values, lengths))
        return surprises.sum() / asked.sum().clamp(min=1)

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean, or the sum, of the surprises of each jet's tokens (jets,), in nats."""
        surprises, asked = self.surprises(*self.block(values, lengths))
        return surprises.sum(1) if self.config.score == "sum" else surprises.sum(1) / asked.sum(1)


class MaskedTokenNetwork(NextTokenNetwork):
    """The same tokens, some of them hidden and guessed from all the others; how many there are is given."""

    def surprises(self, tokens: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log p of hidden particles (jets, n): in training of a random share, else each of all in its pass."""
        (jets, n), passes = there.shape, self.config.passes
        turn = torch.arange(n, device=there.device).expand(jets, n) % passes
        if self.training:
            turn, passes = torch.randint(passes, (jets, n), device=there.device), 1
        closed = torch.zeros(jets, 1, 1, n, device=there.device).masked_fill(~there[:, None, None], -torch.inf)
        x, total, seen = self.embedded(tokens), torch.zeros(jets, n, device=there.device), torch.zeros_like(there)
        for i in range(min(passes, n)):
            hidden = there & (turn == i)
            states = self.states(torch.where(hidden[..., None], self.unknown, x), closed)
            total = total + _spread(self.guess(states[hidden], tokens[hidden]), hidden)
            seen = seen | hidden
        return total, seen


def _spread(values: Tensor, where: Tensor) -> Tensor:
    return torch.zeros(where.shape, device=values.device, dtype=values.dtype).masked_scatter(where, values)


_SMALL = TokenConfig(
    bins=16,
    width=32,
    heads=4,
    blocks=2,
    most=30,
    fit=FitConfig(epochs=12, lr=1e-2, batch_size=64, patience=None, threads=1, clip=1.0),
)


class NextToken(NetworkJetOutlier):
    """Next-token prediction on jets: a causal transformer learns usual jets, and surprise is the score.

    The network is OmniJet-alpha's (arXiv:2403.05618): three blocks, start and stop, particles ordered by pt. Its tokens
    come from a trained VQ-VAE; here they are bins, a look-up table, the lesser of two that arXiv:2604.21035
    compares for events. "small": two narrow blocks, 30 particles, 16 bins.
    """

    name = "next-token"
    features = (*_BINNED, *_KINDS)
    configs: ClassVar[Mapping[str, Any]] = {"paper": TokenConfig(), "small": _SMALL}

    def _network(self, features: int, classes: int) -> JetNetwork:
        return NextTokenNetwork(self.config)


class MaskedToken(NextToken):
    """Masked-token prediction (arXiv:2509.26218): hidden tokens are guessed from all others, by an encoder.

    The paper's tokens are objects of an event, here the particles of a jet; two blocks as there, its other numbers are
    those of "next-token". Surprises of single tokens given the rest do not add up to the probability of a jet.
    """

    name = "masked-token"
    configs: ClassVar[Mapping[str, Any]] = {"paper": TokenConfig(blocks=2), "small": _SMALL}

    def _network(self, features: int, classes: int) -> JetNetwork:
        return MaskedTokenNetwork(self.config)
