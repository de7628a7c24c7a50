"""Lorentz group autoencoder: jets pass through a few scalars and four-vectors, by layers that commute with boosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork, NetworkJetOutlier
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, mlp, pad
from hepml_nb.tagging import Particles
from hepml_nb.tagging.lorentz import METRIC, signed_log
from hepml_nb.tagging.particles import MOMENTA, particles

__all__ = ["Lgae", "LgaeConfig", "LgaeNetwork", "LmpLayer", "chamfer", "minkowski"]

Aggregate = Literal["min-max", "mix"]
Score = Literal["chamfer", "relative", "invariant"]

_WIDTHS = (0.3, 3.0)  # of the filters, in 1 / unit^2: a jet's pairs span orders of magnitude


@dataclass(frozen=True)
class LgaeConfig:
    """encoder, decoder: channels after each layer, as many scalars as vectors. scalars, vectors: of the latent space.

    aggregate: "min-max" (of scalars, and of vectors by their mass, over the particles) or "mix" (a sum with a weight
    for each place in the order of pt). score: "chamfer", "relative" (in units of the jet's own momentum) or
    "invariant", see `LgaeNetwork.unusual`. jet_frame: boost and turn every jet so that its axis is along x; the network
    does not notice, the distance does. most: hardest particles taken, and particles made.
    """

    encoder: tuple[int, ...] = (3, 3, 4, 4)
    decoder: tuple[int, ...] = (4, 4, 3, 3)
    scalars: int = 2
    vectors: int = 4
    aggregate: Aggregate = "min-max"
    score: Score = "chamfer"
    jet_frame: bool = False
    most: int = 30
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=5e-4, batch_size=512, schedule="constant", patience=None)
    )

    def __post_init__(self) -> None:
        counts = (self.scalars, self.vectors, self.most, *self.encoder, *self.decoder)
        if not self.encoder or not self.decoder or not all(isinstance(n, int) and n >= 1 for n in counts):
            raise InputError(
                f"encoder={self.encoder!r}, decoder={self.decoder!r}, scalars={self.scalars!r}, "
                f"vectors={self.vectors!r}, most={self.most!r}; expected layers and counts of at least 1."
            )
        for name, known in (("aggregate", Aggregate), ("score", Score)):
            if (value := getattr(self, name)) not in get_args(known):
                raise InputError(f"{name}={value!r} is unknown{suggest(str(value), get_args(known))}")


def minkowski(a: Tensor, b: Tensor) -> Tensor:
    """Return the Minkowski products (...) of vectors (..., 4)."""
    return (a * b) @ a.new_tensor(METRIC)


def chamfer(p: Tensor, q: Tensor, *, invariant: bool = False) -> Tensor:
    """Return the Chamfer distance (jets,) of sets of momenta (jets, n, 4) and (jets, m, 4).

    The sum over both sets of the squared distance to the nearest of the other: Euclidean of the three-momenta, or
    with invariant=True the |(p - q)^2| of Minkowski, which is zero wherever p - q is light-like.
    """
    gaps = p[:, :, None] - q[:, None]
    squares = minkowski(gaps, gaps).abs() if invariant else gaps[..., 1:].square().sum(-1)
    return squares.amin(2).sum(1) + squares.amin(1).sum(1)


class LmpLayer(nn.Module):
    """Lorentz group equivariant message passing: scalars (0,0) and vectors (1/2,1/2) of every particle learn from all.

    The message from j to i is f((p_i - p_j)^2) (p_i - p_j) (x) F_j, and F_i (x) F_i comes beside it; of the products
    what is a scalar or a vector again is kept: products of scalars, Minkowski products, scalars times vectors.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.f = nn.Parameter(torch.randn(1 + len(_WIDTHS), inputs))
        self.scalars = nn.Linear(4 * inputs, outputs)
        self.vectors = nn.Linear(3 * inputs, outputs, bias=False)
        self.again = mlp([outputs, 4 * outputs, outputs])

    def forward(self, s: Tensor, v: Tensor, p: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Map scalars (jets, n, c) and vectors (jets, n, 4, c) of particles with momenta p (jets, n, 4).

        seen: what `neighbours` makes of p. As p_i can be taken out of the sum over j, that is a matrix product.
        """
        one, momentum = s[:, :, None], p[..., None]
        lower = momentum * p.new_tensor(METRIC)[:, None]
        sent = torch.cat([one, (lower * v).sum(2, keepdim=True), v, momentum * one], dim=2)
        weighted = sent[:, None] * self.f[:, None, None]  # (jets, filters, n, 10, c)
        heard = (seen @ weighted.flatten(3).flatten(1, 2)).view(sent.shape)
        total, along, vectors, shifted = torch.split(heard, [1, 1, 4, 4], dim=2)
        dots = ((lower * vectors).sum(2) - along[:, :, 0], (v * v * p.new_tensor(METRIC)[:, None]).sum(2))
        s_out = self.scalars(torch.cat([s, s * s, *map(signed_log, dots)], dim=2))
        v_out = self.vectors(torch.cat([v, one * v, momentum * total - shifted], dim=3))
        return s_out + self.again(s_out), v_out


def neighbours(p: Tensor, there: Tensor) -> Tensor:
    """Return 1 and bells 1 / (1 + (w d)^2) of d = (p_i - p_j)^2, over n, j next to filter: (jets, n, filters * n).

    p: momenta (jets, n, 4), there (jets, n); zero for a particle with itself and where there is none.
    """
    n = p.shape[1]
    gaps = p[:, :, None] - p[:, None]
    squares = minkowski(gaps, gaps)
    pairs = there[:, :, None] & there[:, None] & ~torch.eye(n, dtype=torch.bool, device=p.device)
    bells = [1 / (1 + (width * squares).square()) for width in _WIDTHS]
    return torch.cat([torch.ones_like(squares) * pairs, *(bell * pairs for bell in bells)], dim=2) / n


class LgaeNetwork(JetNetwork):
    """Encoder to `scalars` scalars and `vectors` four-vectors, decoder to `most` four-momenta.

    Momenta are in units of the mean energy of the training jets' particles, one number for all, so that the whole
    network commutes with rotations and boosts. Particles are massless, so that each starts with the scalar 1.
    """

    unit: Tensor

    def __init__(self, config: LgaeConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("unit", torch.ones(()))
        first, last = config.encoder[0], config.encoder[-1]
        self.scalars_in, self.vectors_in = nn.Linear(1, first), nn.Linear(1, first, bias=False)
        self.encoder = nn.ModuleList(LmpLayer(a, b) for a, b in pairwise((first, *config.encoder)))
        wide = last * (2 if config.aggregate == "min-max" else config.most)
        self.to_scalars, self.to_vectors = nn.Linear(wide, config.scalars), nn.Linear(wide, config.vectors, bias=False)
        self.node_scalars = nn.Linear(config.scalars, config.most)
        self.node_vectors = nn.Linear(config.vectors, config.most, bias=False)
        first, last = config.decoder[0], config.decoder[-1]
        self.scalars_mid, self.vectors_mid = nn.Linear(1, first), nn.Linear(1, first, bias=False)
        self.decoder = nn.ModuleList(LmpLayer(a, b) for a, b in pairwise((first, *config.decoder)))
        self.out = nn.Linear(last, 1, bias=False)
        for layer in self.modules():
            if (
                isinstance(layer, nn.Linear) and getattr(layer, "bias", None) is None
            ):  # what makes vectors keeps their size
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure the unit of the momenta."""
        self.unit.copy_(values[:, 0].mean())

    def block(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return momenta (jets, most, 4) in the unit, missing particles at zero, and which are there."""
        p, there = pad(values / self.unit, lengths)
        missing = self.config.most - p.shape[1]
        return functional.pad(p, (0, 0, 0, missing)), functional.pad(there, (0, missing))

    def encode(self, p: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Map momenta (jets, n, 4) to the latent scalars (jets, scalars) and vectors (jets, 4, vectors)."""
        seen = neighbours(p, there)
        s, v = self.scalars_in(there[..., None].to(p)), self.vectors_in(p[..., None])
        for layer in self.encoder:
            s, v = layer(s, v, p, seen)
        if self.config.aggregate == "mix":
            s, v = s * there[..., None], v * there[..., None, None]
            return self.to_scalars(s.flatten(1)), self.to_vectors(v.transpose(1, 2).flatten(2))
        mass, gone = minkowski(v.transpose(2, 3), v.transpose(2, 3)), ~there[..., None]
        scalars, vectors = [], []
        for sign in (1.0, -1.0):  # the least, then the greatest as the least of the negatives
            scalars.append((sign * s).masked_fill(gone, torch.inf).amin(1))
            index = (sign * mass).masked_fill(gone, torch.inf).argmin(1)
            vectors.append(v.gather(1, index[:, None, None].expand(-1, 1, 4, -1))[:, 0])
        return self.to_scalars(torch.cat(scalars, 1)), self.to_vectors(torch.cat(vectors, 2))

    def decode(self, scalars: Tensor, vectors: Tensor) -> Tensor:
        """Map latent scalars and vectors to momenta (jets, most, 4): a mixture of its own for each, then layers."""
        p = self.node_vectors(vectors).transpose(1, 2).contiguous()
        seen = neighbours(p, p.new_ones(p.shape[:2], dtype=torch.bool))
        s, v = self.scalars_mid(self.node_scalars(scalars)[..., None]), self.vectors_mid(p[..., None])
        for layer in self.decoder:
            s, v = layer(s, v, p, seen)
        out: Tensor = self.out(v)[..., 0]
        return out

    def reconstruct(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return momenta of the particles and those made of the latent space, both (jets, most, 4) in the unit."""
        p, there = self.block(values, lengths)
        return p, self.decode(*self.encode(p, there))

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean Chamfer distance."""
        return chamfer(*self.reconstruct(values, lengths)).mean()

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the distance (jets,) between a jet and what comes back, as the configuration asks for it.

        Only "invariant" gives every frame the same score; the other two depend on the frame as the loss does.
        """
        p, made = self.reconstruct(values, lengths)
        distance = chamfer(p, made, invariant=self.config.score == "invariant")
        return distance / p[..., 1:].sum(1).square().sum(1) if self.config.score == "relative" else distance


class Lgae(NetworkJetOutlier):
    """Lorentz group autoencoder (arXiv:2212.07347): equivariant under SO+(3,1), trained on the Chamfer distance.

    The layers are those of the Lorentz group network (arXiv:2006.04780) as the paper cuts them down, to scalars and
    vectors. Less than there: numbers are real (two real vectors for one complex), a filter is a sum of three functions,
    one hidden layer works on the scalars, and large invariants enter by their logarithm. The distance is that of the
    released code, Euclidean: the network is equivariant, its loss and its score are not invariant. A Minkowski distance
    would be, but cannot be trained on, being zero between different collinear particles. The choice of the hardest
    particles and their order (for "mix") are not invariant either. "small": two layers, 20 particles, jets moved to one
    frame, and the distance in units of the jet's momentum, since by itself it is mostly the jet's momentum.
    """

    name = "lgae"
    features = MOMENTA
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": LgaeConfig(),
        "small": LgaeConfig(
            encoder=(4, 4),
            decoder=(4, 4),
            score="relative",
            jet_frame=True,
            most=20,
            fit=FitConfig(epochs=15, lr=1e-2, batch_size=64, patience=None, threads=1, clip=1.0),
        ),
    }

    def _inputs(self, jets: Any) -> Particles:
        if not self.config.jet_frame:
            return super()._inputs(jets)
        found = particles(jets, ("log_pt", "deta_axis", "dphi_axis"), self.config.most)
        log_pt, eta, phi = found.values.T
        momenta = np.exp(log_pt) * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
        return Particles(np.ascontiguousarray(momenta.T), found.lengths)

    def _network(self, features: int, classes: int) -> JetNetwork:
        return LgaeNetwork(self.config)
