"""Showers drawn in two stages: energies and hits of the layers first, then the voxels that they are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.coordinates import divided, filled_up, layer_ratios
from hepml_nb.calo.marginals import Marginals, normal
from hepml_nb.calo.rows import turns
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.training import epochs_of
from hepml_nb.calo.velocity import ResidualNet
from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import FitConfig, History, RowBatches, fit
from hepml_nb.learn.flow_matching import validation_noise
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["LayerNumbers", "StagedConfig", "StagedModel"]


@dataclass(frozen=True)
class StagedConfig:
    """steps: of the sampler. turned: showers look alike from all sides, so that each is seen turned and mirrored.

    layer_hidden, layer_blocks: of the dense network of the layers. fit, layer_fit: trainings of voxels and layers.
    """

    steps: int = 20
    turned: bool = False
    layer_hidden: int = 128
    layer_blocks: int = 2
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=800, lr=1e-3, batch_size=64, patience=None))
    layer_fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=500, lr=1e-3, batch_size=256, patience=None))

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps={self.steps!r}; expected at least 1.")


class LayerNumbers:
    """What the first stage draws, (n, 2 layers) from 0 to about 1: ratios of energies, then the share of voxels hit.

    The ratios are those of `LayerCoordinates`, not as logits: total over incident energy, then each layer over what it
    and the layers behind it hold.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.size = geometry, np.diff(geometry.offsets)

    def of(self, showers: Showers) -> Floats:
        """Return the numbers of showers."""
        totals, ratios = layer_ratios(showers.layers)
        return np.column_stack([totals / showers.energies, ratios, showers.hits / self.size])

    def layers(self, numbers: Floats, energies: Floats) -> tuple[Floats, Floats]:
        """Return the energies (n, layers) in MeV and the hits (n, layers) that numbers mean at incident energies."""
        n = len(self.size)
        layers = divided(numbers[:, 0] * energies, np.minimum(numbers[:, 1:n], 1))
        layers[layers < self.geometry.threshold] = 0
        hits = np.clip(np.rint(numbers[:, n:] * self.size), 1, self.size)
        return layers, np.where(layers > 0, hits, 0).astype(np.int64)


class StagedModel(ShowerModel):
    """Two generative networks of normal numbers (`Marginals`): a dense one for layers, a subclass's for voxels.

    The subclass also writes how both learn and draw. The second is told the energy and what the first drew: energy and
    number of hits of every layer, which the voxels then have, by the choice of the voxels hit and a common factor. Left
    to the voxels, the number of hits alone gave drawn showers away: empty voxels are noise to a network, and noise has
    no number.
    """

    history: tuple[History, History]
    networks: tuple[nn.Module, nn.Module]

    @abstractmethod
    def _network(self, context: int, geometry: Geometry) -> nn.Module:
        """Return the network of the voxels of a geometry."""

    @abstractmethod
    def _loss(self, model: Any, x: Tensor, context: Tensor, given: torch.Generator | None) -> Tensor:
        """Return the loss of a batch x (n, k) of normal numbers; draws come from `given`."""

    @abstractmethod
    def _draw(self, model: Any, noise: Tensor, context: Tensor, steps: int) -> Tensor:
        """Turn normal noise (n, k) into normal numbers of showers."""

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        geometry, config = train.geometry, self.config
        self._numbers = LayerNumbers(geometry)
        every = torch.from_numpy(turns(geometry))
        self._turns = every if config.turned else every[:1]
        self._measure(train)
        torch.manual_seed(derive_seed(seed, "init"))
        n = len(geometry.layers)
        layers = ResidualNet(2 * n, 1, config.layer_hidden, config.layer_blocks)
        self.networks = layers, self._network(4 * n + 1, geometry)
        parts = [self.rows(showers, derive_seed(seed, "rows", i)) for i, showers in enumerate((train, val))]
        losses = (self.layer_loss, self.voxel_loss)
        self.history = tuple(  # type: ignore[assignment]
            self._learn(self.networks[i], losses[i], [part[i] for part in parts], one, derive_seed(seed, i), untrained)
            for i, one in enumerate((config.layer_fit, config.fit))
        )

    def _learn(
        self, network: nn.Module, loss: Callable[[Any, Any], Tensor], rows: Any, config: FitConfig, seed: int, un: bool
    ) -> History:
        network.told.scale.fit(rows[0][-1])  # type: ignore[operator,union-attr]
        seen, held = (RowBatches(*part, batch_size=config.batch_size, seed=seed) for part in rows)
        return fit(network, loss, seen, held, epochs_of(config, un), seed=seed)

    def _measure(self, train: Showers) -> None:
        geometry, values = train.geometry, self._numbers.of(train)
        self._of_layers = Marginals(np.arange(values.shape[1])).fit(values, train.energies)
        groups = geometry.ring_of if self.config.turned else np.arange(geometry.voxels)
        self._of_voxels = Marginals(groups).fit(train.shares.astype(np.float32), train.energies)

    def rows(self, showers: Showers, seed: int = 0) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return what the stages learn from: (low, high, context) of the layers, and of the voxels.

        low and high are the probabilities between which each number lies (`Marginals.intervals`).
        """
        numbers, energies = self._numbers.of(showers), showers.energies
        low, high = self._of_layers.intervals(numbers, energies)
        z = normal(low, high, torch.Generator().manual_seed(seed))
        layers, hits = self._numbers.layers(numbers, energies)
        voxels = self._of_voxels.intervals(showers.shares.astype(np.float32), energies)
        return (low, high, _told(energies)), (*voxels, self.context(energies, z, layers, hits))

    def context(self, energies: Floats, z: Tensor, layers: Floats, hits: Floats) -> Tensor:
        """Return what the voxels are told (n, 4 layers + 1): energy, the layers' normal numbers, energies and hits."""
        logs = np.log(layers + self.geometry.threshold)
        known = np.hstack([logs, np.sqrt(hits / self._numbers.size)]).astype(np.float32)
        return torch.cat([_told(energies), z, torch.from_numpy(known)], 1)

    def layer_loss(self, model: Any, batch: Any) -> Tensor:
        """Return the loss of the first stage on a batch of `rows`."""
        low, high, context = batch
        given = validation_noise(model, low)
        return self._loss(model, normal(low, high, given), context, given)

    def voxel_loss(self, model: Any, batch: Any) -> Tensor:
        """Return the loss of the second stage on a batch of `rows`, each shower turned at random."""
        low, high, context = batch
        given = validation_noise(model, low)
        turn = self._turns[torch.randint(len(self._turns), (len(low),), generator=given)]
        return self._loss(model, normal(low.gather(1, turn), high.gather(1, turn), given), context, given)

    @torch.no_grad()
    def draw_layers(self, energies: Floats, seed: int = 0, steps: int | None = None) -> tuple[Tensor, Floats, Floats]:
        """Return normal numbers (n, 2 layers), energies (n, layers) in MeV and hits (n, layers) of new showers."""
        z = self._from_noise(0, _told(energies), derive_seed(seed, "layers"), steps)
        numbers = self._of_layers.values(z.numpy(), energies)
        return (z, *self._numbers.layers(numbers.astype(np.float64), energies))

    @torch.no_grad()
    def draw_voxels(self, context: Tensor, seed: int = 0, steps: int | None = None) -> Tensor:
        """Return normal numbers of the voxels (n, voxels), for a `context`."""
        return self._from_noise(1, context, derive_seed(seed, "voxels"), steps)

    def _from_noise(self, stage: int, context: Tensor, seed: int, steps: int | None) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # samplers that draw noise on their way use torch's generator
            torch.manual_seed(seed)
            noise = torch.randn(len(context), (2 * len(self.geometry.layers), self.geometry.voxels)[stage])
            return self._draw(self.networks[stage].eval(), noise, context, steps or self.config.steps)

    def deposits(self, z: Tensor, layers: Floats, hits: Floats, energies: Floats) -> Floats:
        """Return deposits (n, voxels) in MeV of normal numbers z of voxels, for layers' energies and hits.

        The voxels whose z lies highest above what is empty are hit, as many as the layer has hits; their shares are
        scaled to its energy.
        """
        number, offsets = z.numpy(), self.geometry.offsets
        above = number - self._of_voxels.empty_below(energies)
        share = np.maximum(self._of_voxels.values(number, energies), self._of_voxels.least(energies))
        for i in range(len(self.geometry.layers)):
            here = slice(offsets[i], offsets[i + 1])
            rank = above[:, here].argsort(axis=1)[:, ::-1].argsort(axis=1)
            share[:, here][rank >= hits[:, i : i + 1]] = 0
        made = filled_up(share, layers, self.geometry)
        # a hit is what the readout sees
        return np.asarray(np.where(share > 0, np.maximum(made, self.geometry.threshold), 0), np.float32)

    def _sample(self, energies: Floats, seed: int) -> Floats:
        z, layers, hits = self.draw_layers(energies, seed)
        voxels = self.draw_voxels(self.context(energies, z, layers, hits), seed)
        return self.deposits(voxels, layers, hits, energies)


def _told(energies: Floats) -> Tensor:
    return torch.from_numpy(np.log(energies).astype(np.float32)[:, None])
