"""What the CaloChallenge looks at: layer energies, centres and widths of showers, as a table of numbers per shower."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepml_nb.calo.sample import Floats, Showers

__all__ = ["Features", "features"]


@dataclass(frozen=True, eq=False)
class Features:
    """High-level features: values (n, k) and their k names; energies in MeV, lengths in mm."""

    values: Floats
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Floats:
        """Return one feature (n,)."""
        return np.asarray(self.values[:, self.names.index(name)])


def features(showers: Showers) -> Features:
    """Return the features of arXiv:2410.21611: total over incident energy, and of each layer energy, centre and width.

    Centres and widths are energy-weighted means and standard deviations of x and y (the challenge's eta and phi) and of
    the radius, with a voxel in its middle; of layers with one bin in alpha, which know no direction, of the radius
    only. An empty layer has 0 for all.
    """
    geometry, columns = showers.geometry, {"response": showers.totals / showers.energies}
    x, y, _ = geometry.centres().T
    radius = np.hypot(x, y)
    for i, layer in enumerate(geometry.layers):
        here = slice(geometry.offsets[i], geometry.offsets[i + 1])
        energy, deposits = showers.layers[:, i], showers.deposits[:, here].astype(np.float64)
        share = deposits / np.where(energy > 0, energy, 1)[:, None]
        columns[f"energy.{layer.number}"] = energy
        columns[f"sparsity.{layer.number}"] = (deposits > 0).mean(axis=1)
        directions = {"x": x, "y": y} if layer.n_alpha > 1 else {}
        for name, place in {**directions, "r": radius}.items():
            centre = share @ place[here]
            columns[f"centre_{name}.{layer.number}"] = centre
            columns[f"width_{name}.{layer.number}"] = np.sqrt(np.maximum(share @ place[here] ** 2 - centre**2, 0))
    return Features(np.stack(list(columns.values()), axis=1), tuple(columns))
