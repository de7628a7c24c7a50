"""Jets as graphs of their particles: convolutions and pooling give a vector, and what is unusual is asked of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork, NetworkJetOutlier
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, Standardise, mlp, pad, set_pool
from hepml_nb.learn.graphs import nearest

__all__ = ["GraphAutoencoder", "GraphConfig", "GraphConv", "GraphNetwork", "GraphSvdd", "set_distance"]

_SOFTEST = 1e-6  # of z: far below any particle, and the logarithm stays finite
_AWAY = 0.1  # a coordinate of the centre at zero could be reached with zero weights
_SLOPE = 0.1


@dataclass(frozen=True)
class GraphConfig:
    """hidden: widths of the graph convolutions. embedding: numbers that stand for a jet. k: neighbours of a particle.

    decoder: hidden widths of the network that makes `most` particles of an embedding. most: hardest particles taken.
    pretraining: of a Deep SVDD's layers as the encoder of an autoencoder; nobody else looks at it. fit: the training.
    """

    hidden: tuple[int, ...] = (64, 64, 64)
    embedding: int = 16
    k: int = 8
    decoder: tuple[int, ...] = (128, 128)
    most: int = 60
    pretraining: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=128, schedule="constant", patience=None)
    )
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=100, lr=1e-3, batch_size=128, schedule="constant", patience=None, weight_decay=1e-6
        )
    )

    def __post_init__(self) -> None:
        sizes = (self.embedding, self.k, self.most, *self.hidden, *self.decoder)
        if not self.hidden or min(sizes) < 1:
            raise InputError(
                f"hidden={self.hidden!r}, embedding={self.embedding!r}, k={self.k!r}, decoder={self.decoder!r}, "
                f"most={self.most!r}; expected a convolution or more, and positive numbers."
            )


class GraphConv(nn.Module):
    """A particle from itself and from the mean of its neighbours: act(A x_i + B mean_j (x_j - x_i)), without biases.

    A particle without neighbours gets A x_i (graph convolution with mean aggregation, arXiv:1706.02216).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.others = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """Map particles x (rows, inputs) and the table of `learn.graphs.nearest` (rows, k) to (rows, outputs)."""
        there = (neighbours < len(x)).sum(1, keepdim=True)
        total = functional.embedding(neighbours, functional.pad(x, (0, 0, 0, 1))).sum(1)
        mean = torch.where(there > 0, total / there.clamp(min=1), x)
        return functional.leaky_relu(self.own(x) + self.others(mean - x), _SLOPE)


def set_distance(block: Tensor, there: Tensor, made: Tensor) -> Tensor:
    """Return the Chamfer distance (jets,) of sets block (jets, n, d) with mask there (jets, n) and made (jets, m, d).

    The mean over each set of the squared distance to the nearest of the other, both added: a mean, so that it does not
    count particles.
    """
    gaps = torch.cdist(block, made).square()
    theirs = gaps.amin(2).mul(there).sum(1) / there.sum(1)
    ours = gaps.masked_fill(~there[..., None], torch.inf).amin(1).mean(1)
    return theirs + ours


class GraphNetwork(JetNetwork):
    """Graph convolutions, pooling to an embedding, and a decoder that makes a set of particles of it.

    Edges join each particle with its k nearest in angle. The embedding is a linear map of two sums over the particles,
    weighted by z and plain; the plain one in units of the mean number of particles, so that it tells how many there
    are. Nothing before it has a bias: with biases one constant would map all jets to the centre of a Deep SVDD.
    Nodes are (log z, deta, dphi, distance from the centroid), in units of their range over the training's particles,
    from 0 to 1: layers without biases map the origin to the origin, which must not be the middle of the particles.
    """

    low: Tensor
    reach: Tensor
    typical: Tensor

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("typical", torch.ones(()))
        self.register_buffer("low", torch.zeros(4))
        self.register_buffer("reach", torch.ones(4))
        self.scale = Standardise(3)
        widths = [4, *config.hidden]
        self.layers = nn.ModuleList(GraphConv(a, b) for a, b in pairwise(widths))
        self.pool = nn.Linear(2 * widths[-1], config.embedding, bias=False)
        self.decoder = mlp([config.embedding, *config.decoder, 3 * config.most])

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure the ranges of the nodes, the scales of what the decoder makes, and the mean number of particles."""
        self.typical.copy_(lengths.double().mean())
        nodes = _nodes(values)
        self.low.copy_(nodes.amin(0))
        self.reach.copy_((nodes.amax(0) - self.low).clamp(min=_SOFTEST))
        self.scale.fit(nodes[:, :3])

    def embed(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map particles (sum of lengths, 3) of z, deta, dphi and lengths (n,) to embeddings (n, embedding)."""
        near = nearest(values[:, 1:], lengths, self.config.k)
        x = (_nodes(values) - self.low) / self.reach
        for layer in self.layers:
            x = layer(x, near)
        pooled = set_pool(x, lengths) / self.typical, set_pool(x * values[:, :1], lengths)
        out: Tensor = self.pool(torch.cat(pooled, 1))
        return out

    def reconstruction(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return how far (n,) the particles (log z, deta, dphi), standardised, are from those made of the embedding."""
        block, there = pad(self.scale(_nodes(values)[:, :3]), lengths)
        made = self.decoder(self.embed(values, lengths)).view(len(lengths), -1, 3)
        return set_distance(block, there, made)

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean reconstruction error."""
        return self.reconstruction(values, lengths).mean()

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the reconstruction error of each jet (n,)."""
        return self.reconstruction(values, lengths)


class SphereNetwork(GraphNetwork):
    """The same, judged by the squared distance of the embedding from a fixed centre."""

    centre: Tensor

    def __init__(self, config: GraphConfig) -> None:
        super().__init__(config)
        self.register_buffer("centre", torch.zeros(config.embedding))

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure the scales, and where the mean embedding is now."""
        super().prepare(values, lengths, classes)
        self.settle(values, lengths)

    def settle(self, values: Tensor, lengths: Tensor) -> None:
        """Put the centre at the mean embedding of jets, its coordinates at least 0.1 from zero."""
        with torch.no_grad():
            mean = self.embed(values, lengths).mean(0)
        self.centre.copy_(torch.where(mean < 0, mean.clamp(max=-_AWAY), mean.clamp(min=_AWAY)))

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean squared distance from the centre."""
        return self.unusual(values, lengths).mean()

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the squared distance of each embedding from the centre (n,)."""
        return (self.embed(values, lengths) - self.centre).square().sum(1)


def _nodes(values: Tensor) -> Tensor:
    z, away = values[:, :1].clamp(min=_SOFTEST), values[:, 1:]
    return torch.cat([z.log(), away, away.square().sum(1, keepdim=True).sqrt()], 1)


_SMALL = GraphConfig(
    hidden=(24, 24),
    embedding=8,
    k=6,
    decoder=(64,),
    most=30,
    pretraining=FitConfig(epochs=10, lr=5e-3, batch_size=64, patience=None, threads=1),
    fit=FitConfig(epochs=15, lr=5e-3, batch_size=64, patience=None, weight_decay=1e-6, threads=1),
)


class GraphAutoencoder(NetworkJetOutlier):
    """An autoencoder of jets as graphs: convolutions and pooling to an embedding, particles made of it again.

    For the autoencoder on a graph's vector of "New physics searches with graph-based anomaly detection" (ML4Jets 2024,
    contribution 19); of its layers the abstract says "convolution and pooling" only, so numbers are ours. The loss
    between sets is the Chamfer distance, as in particle graph autoencoders (arXiv:2111.12849), which keep one latent
    vector per particle where this has one per jet. "small": fewer and larger steps, 30 particles.
    """

    name = "graph-autoencoder"
    configs: ClassVar[Mapping[str, Any]] = {"paper": GraphConfig(), "small": _SMALL}

    def _network(self, features: int, classes: int) -> JetNetwork:
        return GraphNetwork(self.config)


class GraphSvdd(NetworkJetOutlier):
    """Deep support vector data description of jets as graphs (Ruff et al., ICML 2018, on ML4Jets 2024's graphs, 19).

    As `svdd.DeepSvdd`: pre-trained as the encoder of an autoencoder, the centre is where the mean jet is then and
    stays, the loss is the mean squared distance from it, with weight decay, and layers have no biases.
    """

    name = "graph-svdd"
    configs: ClassVar[Mapping[str, Any]] = {"paper": GraphConfig(), "small": _SMALL}

    def _network(self, features: int, classes: int) -> JetNetwork:
        return SphereNetwork(self.config)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        self._minimise(_pretraining, train, val, self.config.pretraining, seed)
        model: Any = self.model
        model.settle(*train[:2])
        super()._train(train, val, seed)


def _pretraining(model: Any, batch: Any) -> Tensor:
    loss: Tensor = GraphNetwork.loss(model, *batch)
    return loss
