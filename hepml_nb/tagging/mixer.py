"""An MLP-mixer over particles that looks at the jet's prongs by cross-attention (arXiv:2404.14677)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, RowBatches, Standardise, mlp
from hepml_nb.simulate.substructure import cluster_sequence, momenta
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.networks import NetworkTagger
from hepml_nb.tagging.particles import particles

__all__ = ["FEATURES", "Mixer", "MixerBlock", "MixerConfig", "MixerNetwork", "subjets"]

FEATURES = ("deta_axis", "dphi_axis", "dr", "log_pt", "log_e", "log_pt_rel", "log_e_rel")


@dataclass(frozen=True)
class MixerConfig:
    """most, prongs: particles and subjets taken, hardest first. radius: of the anti-kt subjets.

    dim: width of a token. blocks: mixer blocks. tokens, channels: hidden widths across particles and across features.
    heads: of the cross-attention. f: widths behind. fit: the training. The abstract fixes the construction and the
    fixed-radius subjets; the sizes are ours, and its second, density-based clustering (HDBSCAN) is left out.
    """

    most: int = 100
    prongs: int = 10
    radius: float = 0.2
    dim: int = 128
    blocks: int = 4
    tokens: int = 128
    channels: int = 256
    heads: int = 8
    f: tuple[int, ...] = (128,)
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=30, lr=1e-3, batch_size=256, patience=5))

    def __post_init__(self) -> None:
        if min(self.most, self.prongs, self.blocks) < 1 or not self.radius > 0 or self.dim % self.heads:
            raise InputError(
                f"most={self.most}, prongs={self.prongs}, blocks={self.blocks}, radius={self.radius}, dim={self.dim}, "
                f"heads={self.heads}; expected counts of at least 1, a positive radius, and dim a multiple of heads."
            )


def subjets(jets: Any, radius: float) -> Any:
    """Return jets whose constituents are their anti-kt subjets of this radius (pt, deta, dphi; massless)."""
    parts = momenta(jets.constituents.pt, jets.constituents.deta, jets.constituents.dphi)
    found = cluster_sequence(parts, "antikt", radius).inclusive_jets(min_pt=0.0)
    px, py, pz = (found[c] for c in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    columns = {"pt": pt, "deta": np.arcsinh(pz / pt), "dphi": np.arctan2(py, px), "pdg": ak.zeros_like(pt)}
    return ak.with_field(jets, ak.zip(columns), "constituents")


def _block(found: Particles, most: int) -> npt.NDArray[Any]:
    """Return (jets, most, features) with zeros where a jet has fewer."""
    rows = np.repeat(np.arange(len(found.lengths)), found.lengths)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(found.lengths) - found.lengths, found.lengths)
    out = np.zeros((len(found.lengths), most, found.values.shape[1]), found.values.dtype)
    out[rows, place] = found.values
    return out


class MixerBlock(nn.Module):
    """One network across the particles, one across the features, each added to its input: (n, tokens, dim)."""

    def __init__(self, most: int, dim: int, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.across = nn.Sequential(nn.Linear(most, tokens), nn.GELU(), nn.Linear(tokens, most))
        self.along = nn.Sequential(nn.Linear(dim, channels), nn.GELU(), nn.Linear(channels, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after both networks, of the same shape."""
        x = x + self.across(self.norm1(x).mT).mT
        out: Tensor = x + self.along(self.norm2(x))
        return out


class MixerNetwork(nn.Module):
    """Tokens (n, most + prongs, features): mixed particles ask the subjets, and the answers are averaged -> logits."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        c = self.config = config
        self.standardise = Standardise(len(FEATURES))
        self.particle, self.prong = nn.Linear(len(FEATURES), c.dim), mlp([len(FEATURES), c.dim, c.dim])
        self.blocks = nn.ModuleList(MixerBlock(c.most, c.dim, c.tokens, c.channels) for _ in range(c.blocks))
        self.norm = nn.LayerNorm(c.dim)
        self.attention = nn.MultiheadAttention(c.dim, c.heads, batch_first=True)
        self.f = mlp([2 * c.dim, *c.f, 1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n,)."""
        there = (x != 0).any(-1)
        x = self.standardise(x) * there[..., None]
        most = self.config.most
        tokens, prongs = self.particle(x[:, :most]), self.prong(x[:, most:])
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        answers, _ = self.attention(tokens, prongs, prongs, key_padding_mask=~there[:, most:], need_weights=False)
        share = there[:, :most, None] / there[:, :most].sum(1)[:, None, None]
        out: Tensor = self.f((torch.cat([tokens, answers], dim=-1) * share).sum(1))[:, 0]
        return out


_SMALL = MixerConfig(
    most=40,
    prongs=6,
    dim=32,
    blocks=2,
    tokens=32,
    channels=64,
    heads=4,
    f=(64,),
    fit=FitConfig(epochs=12, lr=3e-3, batch_size=128, patience=5),
)


class Mixer(NetworkTagger):
    """MLP-mixer with cross-attention to subjets (seed row S0/6). Particles are put in order of pt first."""

    name = "mixer"
    configs = {"paper": MixerConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed
    columns = ("constituents", "eta", "phi")
    inputs = "particles and subjets"
    chunk = 10_000

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return MixerNetwork(self.config)

    def batches(
        self, x: Any, *targets: npt.NDArray[Any], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> RowBatches:
        """Return batches (tokens, *targets)."""
        return RowBatches(x, *targets, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def _standardise(self, model: Any, x: Any) -> None:
        rows = torch.as_tensor(x).flatten(0, 1)
        model.standardise.fit(rows[(rows != 0).any(1)])

    def _inputs(self, jets: Any) -> npt.NDArray[Any]:
        c = self.config
        inside = _block(particles(jets, FEATURES, c.most, self.dtype), c.most)
        prongs = _block(particles(subjets(jets, c.radius), FEATURES, c.prongs, self.dtype), c.prongs)
        return np.concatenate([inside, prongs], axis=1)

    def _input_names(self) -> list[str]:
        c = self.config
        return [*FEATURES, f"hardest {c.most}", f"{c.prongs} subjets of {c.radius:g}"]
