"""ParticleNet: convolutions along the edges of a graph that every layer draws anew (arXiv:1902.08570)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, set_pool
from hepml_nb.learn.graphs import EdgeConv, nearest
from hepml_nb.tagging.particles import ParticleTagger, check_features

__all__ = ["PLANE", "ParticleNet", "ParticleNetConfig", "ParticleNetNetwork"]

PLANE = ("deta_axis", "dphi_axis")


@dataclass(frozen=True)
class ParticleNetConfig:
    """widths: of the MLP of every EdgeConv block. k: neighbours. head: width of the layer before the logit.

    dropout: on that layer. features: names of PARTICLE_FEATURES, the coordinates PLANE of the first graph among them.
    most: hardest particles taken. fit: the training; the paper's is AdamW at batches of 384, one cycle up to 3e-3
    (its flanks are straight, ours a cosine).
    """

    widths: tuple[tuple[int, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    k: int = 16
    head: int = 256
    dropout: float = 0.1
    features: tuple[str, ...] = (*PLANE, "log_pt", "log_e", "log_pt_rel", "log_e_rel", "dr")
    most: int | None = 100
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=20, lr=3e-3, batch_size=384, warmup=0.4, weight_decay=1e-4, patience=None
        )
    )

    def __post_init__(self) -> None:
        check_features(self.features)
        object.__setattr__(self, "widths", tuple(tuple(block) for block in self.widths))  # JSON knows lists only
        if missing := [name for name in PLANE if name not in self.features]:
            raise InputError(f"features={list(self.features)} lack {missing}, where the first graph is drawn.")
        if not self.widths or self.k < 1:
            raise InputError(f"widths={self.widths}, k={self.k!r}; expected one block and one neighbour at least.")


class ParticleNetNetwork(nn.Module):
    """EdgeConv blocks, the mean over the particles, a dense layer -> logits.

    The published top tagger has 366k weights and two outputs; one logit spares 257 of them. Batch normalisation sees
    the real particles only, where an implementation that pads lets its zeros into the statistics of the training.
    """

    def __init__(self, config: ParticleNetConfig) -> None:
        super().__init__()
        self.k = config.k
        self.plane = [config.features.index(name) for name in PLANE]
        self.norm = nn.BatchNorm1d(len(config.features))
        inputs = [len(config.features), *(block[-1] for block in config.widths)]
        self.blocks = nn.ModuleList(
            EdgeConv(width, block, config.k) for width, block in zip(inputs, config.widths, strict=False)
        )
        self.head = nn.Sequential(
            nn.Linear(inputs[-1], config.head), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.head, 1)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, features) and lengths (jets,) to logits (jets,)."""
        out: Tensor = self.head(set_pool(self.states(x, lengths)[-1], lengths) / lengths[:, None])[:, 0]
        return out

    def states(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return what the particles look like before the first block and after each, (sum of lengths, width) each."""
        states = [self.norm(x)]
        for block in self.blocks:
            states.append(block(states[-1], self.graph(x, lengths, states)))
        return states

    def graph(self, x: Tensor, lengths: Tensor, states: list[Tensor]) -> Tensor:
        """Return the neighbours for the next block: in the plane first, then in the space of the last state."""
        return nearest(x[:, self.plane] if len(states) == 1 else states[-1], lengths, self.k)


_SMALL = ParticleNetConfig(
    widths=((32, 32, 32), (64, 64, 64)),
    k=7,
    head=64,
    most=40,
    fit=FitConfig(epochs=6, lr=3e-3, batch_size=128, warmup=0.3, weight_decay=1e-4, patience=None),
)


class ParticleNet(ParticleTagger):
    """ParticleNet: dynamic graphs of the nearest particles, in the plane and then in what has been learnt."""

    name = "particlenet"
    configs = {"paper": ParticleNetConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return ParticleNetNetwork(self.config)
