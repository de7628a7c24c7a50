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

__all__ = ["LayerCoordinates", "LogScale", "divided", "expit", "filled_up", "layer_ratios", "logit"]

_EDGE = 1e-6


def logit(share: Floats) -> Floats:
    """Return log(x / (1 - x)) of shares in [0, 1], pushed inwards by 1e-6 (arXiv:2106.05285)."""
    inner = _EDGE + (1 - 2 * _EDGE) * share
    return np.asarray(np.log(inner / (1 - inner)))


def expit(value: Floats) -> Floats:
    """Return the shares whose `logit` is value, in [0, 1]."""
    return np.asarray(np.clip((1 / (1 + np.exp(-value)) - _EDGE) / (1 - 2 * _EDGE), 0, 1))


class LogScale:
    """The logarithm of positive numbers, with the mean 0 and the deviation 1 of the sample that it was made from."""

    def __init__(self, values: Floats) -> None:
        logs = np.log(values)
        self._centre, self._width = float(logs.mean()), float(logs.std()) or 1.0

    def __call__(self, values: Floats) -> Floats:
        """Return standardised logarithms of values (n,)."""
        return np.asarray((np.log(values) - self._centre) / self._width)


def layer_ratios(layers: Floats) -> tuple[Floats, Floats]:
    """Return the totals (n,) of layers (n, k), and each but the last over what it and those behind hold (n, k - 1)."""
    behind = np.cumsum(layers[:, ::-1], axis=1)[:, ::-1]
    return behind[:, 0], layers[:, :-1] / np.where(behind[:, :-1] > 0, behind[:, :-1], 1)


def divided(totals: Floats, ratios: Floats) -> Floats:
    """Return the layers (n, k) of totals (n,) and ratios (n, k - 1): the inverse of `layer_ratios`."""
    layers, left = np.empty((len(ratios), ratios.shape[1] + 1)), totals
    for i in range(ratios.shape[1]):
        layers[:, i] = ratios[:, i] * left
        left = left - layers[:, i]
    layers[:, -1] = left
    return layers


def filled_up(values: Floats, layers: Floats, geometry: Geometry) -> Floats:
    """Return values (n, voxels), scaled in each layer to its energy (n, layers); where all are 0 they stay so."""
    whole = np.add.reduceat(values, geometry.offsets[:-1], axis=1)
    return np.asarray(values * (layers / np.where(whole > 0, whole, np.inf))[:, geometry.layer_of])


class LayerCoordinates:
    """The map of showers to ratios of layers (n, layers) and shares of voxels (n, voxels), both as logits, and back.

    Ratio 0 is the total over `largest` times the incident energy, where largest is a little more than the greatest
    such ratio of the training; ratio i is layer i - 1 over the energy that is left for it and the layers behind.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.largest, self._scale = geometry, 1.0, LogScale(np.ones(1))

    def fit(self, showers: Showers) -> Self:
        """Measure the greatest total over incident energy, and centre and width of the logarithm of the energy."""
        self.largest = 1.05 * float((showers.totals / showers.energies).max()) or 1.0
        self._scale = LogScale(showers.energies)
        return self

    def context(self, energies: Floats) -> Floats:
        """Return (n, 1): the logarithm of the energies, standardised on the training."""
        return self._scale(energies).astype(np.float32)[:, None]

    def ratios(self, showers: Showers, seed: int = 0) -> Floats:
        """Return the layers' ratios as logits (n, layers), float32.

        A uniform random energy below the readout threshold is added to every layer, as in CaloFlow: empty layers would
        otherwise make a spike that no density fits.
        """
        totals, ratios = layer_ratios(self.filled(showers.layers, rng(seed, "layers")))
        seen = np.minimum(totals / (self.largest * showers.energies), 1)
        return logit(np.column_stack([seen, ratios])).astype(np.float32)

    def filled(self, layers: Floats, generator: np.random.Generator) -> Floats:
        """Return energies of layers (n, layers) in MeV with what is added so that none is 0."""
        return np.asarray(layers + generator.uniform(0, self.geometry.threshold, layers.shape))

    def layers(self, ratios: Floats, energies: Floats) -> Floats:
        """Return the energy of each layer (n, layers) in MeV from ratios as logits: the inverse of `ratios`."""
        share = expit(np.asarray(ratios, np.float64))
        return divided(share[:, 0] * self.largest * energies, share[:, 1:])

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
        return filled_up(made, layers, self.geometry).astype(np.float32)
