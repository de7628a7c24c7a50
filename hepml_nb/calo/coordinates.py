"""Showers as numbers that networks learn well: shares of the energy layer by layer, and of each layer voxel by voxel.

The ratios are those of CaloFlow and CaloINN (arXiv:2106.05285, 2312.09290): the total over the incident energy, then
each layer over what it and the layers behind it hold.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, rng
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["LayerCoordinates", "expit", "logit"]

_EDGE = 1e-6


def logit(share: Floats) -> Floats:
    """Return log(x / (1 - x)) of shares in [0, 1], pushed inwards by 1e-6 (arXiv:2106.05285)."""
    inner = _EDGE + (1 - 2 * _EDGE) * share
    return np.asarray(np.log(inner / (1 - inner)))


def expit(value: Floats) -> Floats:
    """Return the shares whose `logit` is value, in [0, 1]."""
    return np.asarray(np.clip((1 / (1 + np.exp(-value)) - _EDGE) / (1 - 2 * _EDGE), 0, 1))


class LayerCoordinates:
    """The map of showers to ratios of layers (n, layers) and shares of voxels (n, voxels), both as logits, and back.

    Ratio 0 is the total over `largest` times the incident energy, where largest is a little more than the greatest
    such ratio of the training; ratio i is layer i - 1 over the energy that is left for it and the layers behind.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.largest, self._centre, self._width = 1.0, 0.0, 1.0

    def fit(self, showers: Showers) -> Self:
        """Measure the greatest total over incident energy, and centre and width of the logarithm of the energy."""
        self.largest = 1.05 * float((showers.totals / showers.energies).max()) or 1.0
        logs = np.log(showers.energies)
        self._centre, self._width = float(logs.mean()), float(logs.std()) or 1.0
        return self

    def context(self, energies: Floats) -> Floats:
        """Return (n, 1): the logarithm of the energies, standardised on the training."""
        return np.asarray((np.log(energies) - self._centre) / self._width, np.float32)[:, None]

    def ratios(self, showers: Showers, seed: int = 0) -> Floats:
        """Return the layers' ratios as logits (n, layers), float32.

        A uniform random energy below the readout threshold is added to every layer, as in CaloFlow: empty layers would
        otherwise make a spike that no density fits.
        """
        layers = self.filled(showers.layers, rng(seed, "layers"))
        behind = np.cumsum(layers[:, ::-1], axis=1)[:, ::-1]
        total = np.minimum(behind[:, :1] / (self.largest * showers.energies[:, None]), 1)
        return logit(np.hstack([total, layers[:, :-1] / behind[:, :-1]])).astype(np.float32)

    def filled(self, layers: Floats, generator: np.random.Generator) -> Floats:
        """Return energies of layers (n, layers) in MeV with what is added so that none is 0."""
        return np.asarray(layers + generator.uniform(0, self.geometry.threshold, layers.shape))

    def layers(self, ratios: Floats, energies: Floats) -> Floats:
        """Return the energy of each layer (n, layers) in MeV from ratios as logits: the inverse of `ratios`."""
        share = expit(np.asarray(ratios, np.float64))
        left = share[:, 0] * self.largest * energies
        layers = np.empty_like(share)
        for i in range(share.shape[1] - 1):
            layers[:, i] = share[:, i + 1] * left
            left = left - layers[:, i]
        layers[:, -1] = left
        return layers

    def shares(self, showers: Showers, seed: int = 0) -> Floats:
        """Return each voxel's share of its layer as logits (n, voxels), float32; noise below the threshold is added."""
        noise = rng(seed, "voxels").random(showers.deposits.shape, dtype=np.float32)
        noisy = showers.deposits + noise * np.float32(self.geometry.threshold)
        layers = np.add.reduceat(noisy, self.geometry.offsets[:-1], axis=1)
        return logit(noisy / layers[:, self.geometry.layer_of]).astype(np.float32)

    def deposits(self, shares: Floats, layers: Floats) -> Floats:
        """Return deposits (n, voxels) in MeV from shares as logits and the energies of layers (n, layers) in MeV.

        What lies below the threshold is 0, and the rest of its layer is scaled so that the layer keeps its energy; a
        layer of which nothing is left is empty.
        """
        if shares.shape != (len(layers), self.geometry.voxels):
            raise InputError(f"shares have shape {shares.shape}; expected ({len(layers)}, {self.geometry.voxels}).")
        offsets, of = self.geometry.offsets[:-1], self.geometry.layer_of
        share = expit(np.asarray(shares, np.float32))
        made = share * (layers / np.maximum(np.add.reduceat(share, offsets, axis=1), _EDGE))[:, of]
        made[made < self.geometry.threshold] = 0
        left = np.add.reduceat(made, offsets, axis=1)
        return np.asarray(made * (layers / np.where(left > 0, left, np.inf))[:, of], np.float32)
