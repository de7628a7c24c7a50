"""Normalising flows of showers: one for the energies of layers, one for the voxels that is told them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.rows import GappedRatios, TurnedBatches, VoxelLogs
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.training import epochs_of, flow_loss
from hepml_nb.core import derive_seed
from hepml_nb.learn import ConditionalFlow, FitConfig, History, RowBatches, fit

__all__ = ["SMALL_LAYERS", "FlowModelConfig", "FlowShowers"]

_PAPER_FIT = FitConfig(epochs=100, lr=1e-3, batch_size=512, patience=None)
SMALL_LAYERS: dict[str, Any] = {
    "layer_transforms": 3,
    "layer_hidden": (128, 128),
    "layer_bins": 12,
    "layer_fit": FitConfig(epochs=30, lr=2e-3, batch_size=256, patience=None),
}
"""Settings of the layers' flow in every "small" configuration."""


@dataclass(frozen=True, kw_only=True)
class FlowModelConfig:
    """layer_...: the flow of layers, autoregressive splines, defaults as in arXiv:2210.14245. fit: of the voxels' flow.

    turned: every epoch sees each shower in a new turn around the axis, mirrored or not; right where particles come in
    along the axis of a detector that is alike all around.
    """

    layer_transforms: int = 6
    layer_hidden: tuple[int, ...] = (64, 64)
    layer_bins: int = 8
    layer_fit: FitConfig = field(default_factory=lambda: _PAPER_FIT)
    turned: bool = False
    fit: FitConfig = field(default_factory=lambda: _PAPER_FIT)


class FlowShowers(ShowerModel):
    """Two flows as in CaloFlow (arXiv:2106.05285): p(ratios of layers | energy) and p(voxels | layers, energy).

    Ratios are `GappedRatios`, voxels are `VoxelLogs`. Both flows are fitted by maximum likelihood. A
    subclass gives the voxels' flow: a module with `standardise`, `loss` and `sample`, as `learn.ConditionalFlow`.
    """

    layer_flow: ConditionalFlow
    voxel_flow: Any
    layer_history: History
    history: History

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        self._map, self._voxels = GappedRatios(train.geometry).fit(train), VoxelLogs(train.geometry)
        torch.manual_seed(derive_seed(seed, "init"))
        self._fit_layers(train, val, seed, untrained)
        shown, apart = self._batches(train, val, seed)
        self.voxel_flow = self._network(train.geometry.ring_of, shown.tensors[1].shape[1])
        self.voxel_flow.standardise(self._voxels.rows(shown.tensors[0]), shown.tensors[1])
        self._learn(shown, apart, derive_seed(seed, "voxels"), untrained)

    def _fit_layers(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        config = self.config
        rows = [
            (torch.from_numpy(self._ratios(some, seed, i)), torch.from_numpy(self._map.context(some.energies)))
            for i, some in enumerate((train, val))
        ]
        self.layer_flow = ConditionalFlow(
            len(train.geometry.layers), 1, kind="autoregressive", transforms=config.layer_transforms,
            hidden=config.layer_hidden, bins=config.layer_bins,
        ).standardise(*rows[0])  # fmt: skip
        seen, held = (RowBatches(*pair, batch_size=config.layer_fit.batch_size, seed=seed) for pair in rows)
        schedule = epochs_of(config.layer_fit, untrained)
        self.layer_history = fit(
            self.layer_flow, flow_loss, seen, held, schedule, seed=derive_seed(seed, "layers"), desc="layers"
        )

    def _ratios(self, some: Showers, seed: int, stream: int) -> Floats:
        return self._map.ratios(some, derive_seed(seed, "ratios", stream))

    def _batches(self, train: Showers, val: Showers, seed: int) -> tuple[TurnedBatches, TurnedBatches]:
        """Return batches (x, context) of voxels to train with and to validate with; the latter are not turned."""
        told = [self.context(self._ratios(some, seed, i), some.energies) for i, some in enumerate((train, val))]
        size, turned = self.config.fit.batch_size, self.config.turned
        return (
            TurnedBatches(train, told[0], batch_size=size, seed=seed, turned=turned),
            TurnedBatches(val, told[1], batch_size=size, seed=derive_seed(seed, "val"), turned=False, shuffle=False),
        )

    def _learn(self, shown: TurnedBatches, apart: TurnedBatches, seed: int, untrained: bool) -> None:
        """Fit the flow of voxels to batches (x, context)."""
        config = epochs_of(self.config.fit, untrained)
        self.history = fit(self.voxel_flow, flow_loss, shown, apart, config, seed=seed, desc="voxels")

    def context(self, ratios: Floats, energies: Floats) -> Tensor:
        """Return what the voxels' flow is told (n, 1 + 2 layers): energy, ratios, and logarithms of layers' energies.

        The last are functions of the others, but voxels are proportional to them.
        """
        layers = np.log(self._map.layers(ratios, energies) + self.geometry.threshold)
        return torch.from_numpy(np.hstack([self._map.context(energies), ratios, layers]).astype(np.float32))

    @torch.no_grad()
    def layers(self, energies: Floats, seed: int = 0) -> Floats:
        """Return new ratios of layers, as logits (n, layers), for energies (n,) in MeV."""
        torch.manual_seed(derive_seed(seed, "layers"))
        drawn = self.layer_flow.eval().sample(torch.from_numpy(self._map.context(energies)))
        return np.asarray(drawn.numpy())

    @torch.no_grad()
    def voxels(self, ratios: Floats, energies: Floats, seed: int = 0) -> Floats:
        """Return new deposits (n, voxels) in MeV for ratios of layers as logits (n, layers) and energies (n,)."""
        torch.manual_seed(derive_seed(seed, "voxels"))
        rows = self._draw(self.context(ratios, energies)).numpy()
        return self._voxels.deposits(rows, self._map.layers(ratios, energies))

    def _draw(self, context: Tensor) -> Tensor:
        """Return one row of voxels for each row of the context, from torch's generator."""
        drawn: Tensor = self.voxel_flow.eval().sample(context)
        return drawn

    def _sample(self, energies: Floats, seed: int) -> Floats:
        return self.voxels(self.layers(energies, seed), energies, seed)

    @abstractmethod
    def _network(self, group_of: np.ndarray, context: int) -> nn.Module:
        """Return the untrained flow of voxels; group_of (voxels,) numbers the ring of each."""
