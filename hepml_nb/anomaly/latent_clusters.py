"""Clusters in the latent space of an autoencoder, k-means or k-medians, with distances that qubits could measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from hepml_nb.anomaly.latent import SMALL_ENCODER, EncoderConfig, LatentOutlier
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, rng, suggest

__all__ = ["ClusterConfig", "LatentClusters", "LatentQuantumClusters", "clustered", "overlap_distance"]

Centre = Literal["median", "mean"]
_ROUNDS, _WEISZFELD = 50, 20


@dataclass(frozen=True)
class ClusterConfig(EncoderConfig):
    """Of the encoder see `EncoderConfig`. clusters: how many.

    centre: of a cluster, its "mean" (k-means) or geometric "median" (k-medians), which a few far events hardly move.
    quantum: distances come from the overlap of two states (`overlap_distance`). shots: measurements of each distance
    (None: exact).
    """

    clusters: int = 2
    centre: Centre = "median"
    quantum: bool = False
    shots: int | None = None

    def __post_init__(self) -> None:
        if self.centre not in get_args(Centre):
            raise InputError(f"centre={self.centre!r} is unknown{suggest(str(self.centre), get_args(Centre))}")
        if not 1 <= self.clusters <= self.events or (self.shots is not None and self.shots < 1):
            raise InputError(
                f"clusters={self.clusters!r}, events={self.events!r}, shots={self.shots!r}; expected at least one "
                "cluster, as many events, and at least one shot or None."
            )
        if self.shots is not None and not self.quantum:
            raise InputError(f"shots={self.shots!r} without quantum=True; a classical distance is not measured.")


class LatentClusters(LatentOutlier):
    """An encoder, then clusters in its latent space; the score is the way to the nearest centre (arXiv:2301.10780).

    Not the paper's: the autoencoder is dense and of an event's features (`LatentKernel`), and centres start as
    k-means++ places them (Arthur and Vassilvitskii 2007). Untrained: no centre, so that all scores are zero.
    """

    name = "latent-clusters"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": ClusterConfig(),
        "small": ClusterConfig(**SMALL_ENCODER),
    }

    def _learn(self, events: Events, seed: int, untrained: bool) -> None:
        super()._learn(events, seed, untrained)
        self._seed = seed
        self.centres = None if untrained else clustered(self.latent(self._chosen(events, seed)), self.config, seed)

    def _score(self, events: Events) -> Floats:
        if self.centres is None:
            return np.zeros(len(events))
        each = _distances(self.latent(events), self.centres, self.config, rng(self._seed, self.name, "measured"))
        return np.asarray(each.min(axis=1))


class LatentQuantumClusters(LatentClusters):
    """The same clusters with distances from the overlap of quantum states, simulated without noise of the device.

    Without shots the distance is the Euclidean one, to rounding: then nothing is quantum but the way to it. The paper
    also finds the nearest centre by a quantum search for a minimum, which gives the same centre and is left out.
    """

    name = "latent-quantum-clusters"
    configs: ClassVar[Mapping[str, Any]] = {
        name: replace(config, quantum=True) for name, config in LatentClusters.configs.items()
    }


def overlap_distance(a: Floats, b: Floats, shots: int | None = None, generator: Any = None) -> Floats:
    """Return distances (n, m) of vectors (n, d) and (m, d) as a swap test of two states gives them.

    With unit vectors as amplitudes, phi = (|0, a> + |1, b>) / sqrt 2 and psi = (|a| |0> - |b| |1>) / sqrt Z, where
    Z = |a|^2 + |b|^2, the first qubit of phi is psi with probability |a - b|^2 / 2Z, and the test finds its own
    qubit in 0 with probability (1 + this) / 2 (arXiv:1307.0411). shots: so many tests of each pair
    are counted, with the numpy generator; a difference below zero is zero. Raises InputError for other shapes and for
    shots without a generator.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or (shots is not None and generator is None):
        raise InputError(f"vectors {a.shape} and {b.shape}, shots={shots!r}; expected (n, d), (m, d) and a generator.")
    lengths = [np.linalg.norm(one, axis=1) for one in (a, b)]
    unit = [one / np.where(size > 0, size, 1)[:, None] for one, size in zip((a, b), lengths, strict=True)]
    total = np.square(lengths[0])[:, None] + np.square(lengths[1])
    safe = np.sqrt(np.where(total > 0, total, 1))[..., None]
    both = (lengths[0][:, None] * unit[0])[:, None] / safe - (lengths[1][:, None] * unit[1])[None] / safe
    zero = (1 + np.square(both / np.sqrt(2)).sum(axis=-1)) / 2
    seen = zero if shots is None else generator.binomial(shots, zero.clip(0, 1)) / shots
    return np.asarray(np.sqrt((2 * total * (2 * seen - 1)).clip(min=0)))


def clustered(z: Floats, config: ClusterConfig, seed: int = 0) -> Floats:
    """Return the centres (clusters, d) of points (n, d): assign to the nearest, move centres, until nothing changes."""
    from sklearn.cluster import kmeans_plusplus  # a second to import, and only needed here

    start = int(rng(seed, "start").integers(2**31))
    centres: Floats = kmeans_plusplus(z, config.clusters, random_state=start)[0].astype(np.float64)
    generator, before = rng(seed, "assigned"), None
    for _ in range(_ROUNDS):
        nearest = _distances(z, centres, config, generator).argmin(axis=1)
        if before is not None and np.array_equal(nearest, before):
            break
        for i in set(nearest.tolist()):  # a cluster that lost all its points stays where it is
            centres[i] = _middle(z[nearest == i], config.centre)
        before = nearest
    return centres


def _distances(z: Floats, centres: Floats, config: ClusterConfig, generator: Any) -> Floats:
    if config.quantum:
        return overlap_distance(z, centres, config.shots, generator)
    return np.asarray(np.linalg.norm(z[:, None] - centres, axis=2))


def _middle(z: Floats, centre: Centre) -> Floats:
    """Return the mean, or the geometric median by Weiszfeld's iteration."""
    middle: Floats = z.mean(axis=0)
    for _ in range(_WEISZFELD if centre == "median" else 0):
        weights = 1 / np.linalg.norm(z - middle, axis=1).clip(min=1e-9)
        middle = weights @ z / weights.sum()
    return middle
