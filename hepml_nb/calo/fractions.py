"""Showers as fractions that generators can end in: voxels of their layer, layers of the total, and how much is seen."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.polynomial import Polynomial
from torch import Tensor, nn

from hepml_nb.calo.coordinates import LogScale
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.learn import Standardise
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["FractionHead", "Fractions", "RootScale"]

_STEEPEST = 12.0
"""Largest exponent of a voxel's weight: e^12 is far beyond the contrast of any two voxels of one layer."""
_TINY = 1e-8
_WIDEST = 5.0
"""Largest pull: a shower of which nothing is seen is many widths away, and would rule the scale."""


class Fractions:
    """The map of showers to rows (n, voxels + layers + 1) and back, as in CaloShowerGAN (arXiv:2309.06515).

    First each voxel over its layer, then each layer over the total, then the total over the incident energy. Unlike in
    `LayerCoordinates` nothing is a logit and no noise is added: an empty voxel is a plain 0. The last number is given
    as its pull, (E / E_inc - mean) / width, because the width falls from 20 % to 1 % over the energies: mean and width
    are smooth functions of log E, measured on the showers of the training.
    """

    def __init__(self, showers: Showers) -> None:
        self.geometry: Geometry = showers.geometry
        self._scale, response = LogScale(showers.energies), showers.totals / showers.energies
        place = self._scale(showers.energies)
        degree = min(3, len(np.unique(showers.energies)) - 1)
        self._mean = _smooth(place, response, degree)
        off = np.maximum(np.abs(response - self._mean(place)), 1e-4)
        self._log_width = _smooth(place, np.log(off), degree)
        # a logarithm's mean lies below the logarithm of the width
        self._log_width += float(np.log(np.median(off / np.exp(self._log_width(place))) / 0.6745))

    def context(self, energies: Floats) -> Tensor:
        """Return (n, 1): the logarithm of the energies, standardised on the showers of the training."""
        return torch.from_numpy(self._scale(energies).astype(np.float32)[:, None])

    def rows(self, showers: Showers) -> Tensor:
        """Return the fractions of showers (n, voxels + layers + 1); of an empty layer all voxels are 0."""
        totals, place = showers.totals, self._scale(showers.energies)
        parts = showers.layers / np.where(totals > 0, totals, 1)[:, None]
        pull = (totals / showers.energies - self._mean(place)) / np.exp(self._log_width(place))
        rows = np.hstack([showers.shares, parts, pull.clip(-_WIDEST, _WIDEST)[:, None]])
        return torch.from_numpy(rows.astype(np.float32))

    def deposits(self, rows: Tensor, energies: Floats) -> Floats:
        """Return deposits (n, voxels) in MeV of rows of fractions, for incident energies (n,) in MeV."""
        voxels, place = self.geometry.voxels, self._scale(energies)
        values = rows.detach().cpu().numpy()
        response = self._mean(place) + np.exp(self._log_width(place)) * values[:, -1]
        layers = values[:, voxels:-1] * (np.maximum(response, 0) * energies)[:, None]
        return np.asarray(values[:, :voxels] * layers[:, self.geometry.layer_of], np.float32)


def _smooth(x: Floats, y: Floats, degree: int) -> Polynomial:
    return Polynomial.fit(x, y, degree) if degree > 0 else Polynomial([float(np.mean(y))])


class FractionHead(nn.Module):
    """The end of a generator: numbers (n, voxels + layers + 1) to fractions that add up to 1 where they must.

    A voxel weighs max(e^y - 1, 0), so that it can be empty exactly and may outweigh another by orders of magnitude;
    layers are a softmax; the pull of the total stays as it is.
    """

    layer_of: Tensor

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.layers, self.width = len(geometry.layers), geometry.voxels + len(geometry.layers) + 1
        self.register_buffer("layer_of", torch.from_numpy(geometry.layer_of.astype(np.int64)))

    def forward(self, y: Tensor) -> Tensor:
        """Map y (n, width) to fractions of the same shape."""
        voxels, layers, pull = y[:, : -self.layers - 1], y[:, -self.layers - 1 : -1], y[:, -1:]
        weight = voxels.clamp(max=_STEEPEST).expm1().relu()
        whole = weight.new_zeros(len(y), self.layers).index_add(1, self.layer_of, weight)
        share = weight / (whole + 1e-6).index_select(1, self.layer_of)
        return torch.cat([share, layers.softmax(1), pull], 1)

    def inverse(self, row: Tensor) -> Tensor:
        """Return numbers (width,) that give fractions near a row (width,); an average voxel weighs 10."""
        voxels, layers, pull = row[: -self.layers - 1], row[-self.layers - 1 : -1], row[-1:]
        number = torch.bincount(self.layer_of)[self.layer_of]
        return torch.cat([(10 * number * voxels).log1p(), (layers + 1e-4).log(), pull])


class RootScale(Standardise):
    """Rows of `Fractions` as critics see them: roots of fractions over their spread.

    Deposits are counts at heart: the root makes the fluctuations of large and small voxels alike (the AUC against the
    truth fell from 0.999 to 0.955 in equal trainings of a GAN). Layers and total count `emphasis` times, or hundreds of
    noisy voxels drown them.
    """

    def __init__(self, features: int, layers: int, emphasis: float = 5.0) -> None:
        super().__init__(features)
        self.tail, self.emphasis = layers + 1, emphasis

    def fit(self, x: Tensor) -> Self:
        """Measure mean and spread of the roots of rows (n, features)."""
        super().fit(_root(x))
        self.scale[-self.tail :] /= self.emphasis
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return standardised roots, of the shape of x."""
        return super().forward(_root(x))


def _root(x: Tensor) -> Tensor:
    return torch.cat([(x[:, :-1] + _TINY).sqrt(), x[:, -1:]], 1)
