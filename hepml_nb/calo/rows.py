"""Layers and voxels as flows learn them: logarithms with a gap below the threshold, showers turned around the axis."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hepml_nb.calo.coordinates import LayerCoordinates, filled_up
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import RowBatches
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["GappedRatios", "TurnedBatches", "VoxelLogs", "turns"]

_EMPTY, _EMPTY_WIDTH, _GAP = -2.0, 0.4, -0.8
"""Where empty voxels are put in log(deposit / threshold), how wide, and below which a number means empty: hits begin
at 0, and a flow needs room to go steeply from one to the other. Three widths lie between _EMPTY and _GAP."""


class GappedRatios(LayerCoordinates):
    """`LayerCoordinates` whose empty layers get an energy as `VoxelLogs` gives empty voxels, and others nothing.

    With noise up to the threshold, as published, equal flows made layers that a classifier knew with an AUC of 0.565,
    with the gap 0.541 (photons of the tutorial profile).
    """

    def filled(self, layers: Floats, generator: np.random.Generator) -> Floats:
        """Return energies of layers (n, layers) in MeV, those of empty ones well below the threshold."""
        empty = self.geometry.threshold * np.exp(generator.normal(_EMPTY, _EMPTY_WIDTH, layers.shape))
        return np.where(layers > 0, layers, empty)


class VoxelLogs:
    """The map of deposits to x = log(deposit / threshold), with noise around -2 where there is none, and back.

    CaloFlow and CaloINN (arXiv:2106.05285, 2312.09290) add noise below the threshold to all voxels and take logits of
    shares (`LayerCoordinates.shares`): there, the noise ends where hits begin, and a flow blurs the two. Here is a gap,
    and hits keep their energies to the digit. On the way back a layer keeps the energy that it should have, as there.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def rows(self, deposits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return x (n, voxels) of deposits (n, voxels) in MeV; noise is drawn from a generator, or from torch's."""
        empty = _EMPTY + _EMPTY_WIDTH * torch.randn(deposits.shape, generator=generator)
        smallest = self.geometry.threshold
        return torch.where(deposits > 0, (deposits.clamp(min=smallest) / smallest).log(), empty)

    def deposits(self, rows: Floats, layers: Floats) -> Floats:
        """Return deposits (n, voxels) in MeV of x (n, voxels), scaled to the energies of layers (n, layers) in MeV.

        A layer with energy above the threshold has at least one hit: its largest voxel. What falls below the threshold
        by the scaling is 0, and the rest of the layer makes up for it.
        """
        if rows.shape != (len(layers), self.geometry.voxels):
            raise InputError(f"rows have shape {rows.shape}; expected ({len(layers)}, {self.geometry.voxels}).")
        offsets, of = self.geometry.offsets[:-1], self.geometry.layer_of
        largest = np.maximum.reduceat(rows, offsets, axis=1)[:, of]
        first = rows == largest
        # relative to the largest voxel: the exponential of a stray number must not overflow
        made = np.where((rows > _GAP) | first, np.exp(np.maximum(rows, 0) - np.maximum(largest, 0)), 0)
        made = filled_up(made, layers, self.geometry)
        made[(made < self.geometry.threshold) & ~first] = 0
        made = filled_up(made, layers, self.geometry)
        made[made < self.geometry.threshold] = 0
        return np.asarray(made, np.float32)


def turns(geometry: Geometry) -> np.ndarray:
    """Return (turns, voxels): for every turn and mirror image of a shower the voxels that it takes its numbers from.

    Turns are those that map the bins in alpha of all layers onto themselves; layers of one bin stay as they are. A
    detector that is the same all around its axis, hit along it, makes all of them equally often.
    """
    number = math.gcd(*(layer.n_alpha for layer in geometry.layers if layer.n_alpha > 1))
    tables = []
    for mirror in (1, -1):
        for turn in range(max(number, 1)):
            table = np.arange(geometry.voxels)
            for i, layer in enumerate(geometry.layers):
                bins = (np.arange(layer.n_alpha)[::mirror] + turn * layer.n_alpha // max(number, 1)) % layer.n_alpha
                here = geometry.offsets[i] + bins[:, None] * layer.n_r + np.arange(layer.n_r)
                table[geometry.offsets[i] : geometry.offsets[i + 1]] = here.ravel()
            tables.append(table)
    return np.array(tables if number > 1 else tables[:1])


class TurnedBatches(RowBatches):
    """Batches (x, context) of showers for a flow: each epoch draws new noise for empty voxels and a turn per shower.

    context (n, k) goes with the showers. turned=False leaves them as they are, shuffle=False also their order. Noise
    and turns depend on seed and epoch alone.
    """

    def __init__(
        self, showers: Showers, context: Tensor, *, batch_size: int, seed: int = 0, turned: bool = True,
        shuffle: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(showers.deposits, context, batch_size=batch_size, seed=seed, shuffle=shuffle)
        self._map, self._turns = VoxelLogs(showers.geometry), torch.from_numpy(turns(showers.geometry))
        self._turned = turned

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of one epoch."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "rows", epoch))
        for deposits, context in super().epoch(epoch):
            if self._turned:
                chosen = torch.randint(len(self._turns), (len(deposits),), generator=generator)
                deposits = deposits.gather(1, self._turns[chosen])
            yield self._map.rows(deposits, generator), context
