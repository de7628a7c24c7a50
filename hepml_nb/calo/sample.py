"""Showers as all of calo takes and gives them: energies of the particles and the energy in every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import Geometry, dense, geometry

__all__ = ["Floats", "Showers"]

Floats = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Showers:
    """energies (n,) of the incident particles and deposits (n, voxels), both in MeV, in the voxels of a geometry.

    Deposits are float32, on the scale of the particle, flattened as the CaloChallenge does: the radius fastest, then
    alpha, then the layer. Raises InputError for other shapes, values that are not finite, negative deposits, or
    energies that are not positive; a shower without any deposit is fine.
    """

    energies: Floats
    deposits: Floats
    geometry: Geometry

    def __post_init__(self) -> None:
        energies, deposits = np.asarray(self.energies, np.float64), np.asarray(self.deposits, np.float32)
        if deposits.ndim != 2 or deposits.shape[1] != self.geometry.voxels:
            raise InputError(
                f"deposits have shape {deposits.shape}; {self.geometry.name} expects (n, {self.geometry.voxels})."
            )
        if energies.shape != deposits.shape[:1]:
            raise InputError(f"energies have shape {energies.shape} for {len(deposits)} showers; expected one each.")
        if not (np.isfinite(energies).all() and (energies > 0).all()):
            raise InputError("energies of incident particles must be finite and above 0 MeV.")
        if deposits.size and not (deposits.min() >= 0 and np.isfinite(deposits.max())):
            raise InputError("deposits must be finite and not negative (MeV); is the sampling fraction in them?")
        object.__setattr__(self, "energies", energies)
        object.__setattr__(self, "deposits", deposits)

    @classmethod
    def of(cls, records: Any, detector: Geometry | str) -> Self:
        """Return records of the schema "showers" (energy, hits) in the voxels of a geometry, or of its name."""
        calo = geometry(detector) if isinstance(detector, str) else detector
        return cls(np.asarray(records.energy), dense(records.hits, calo.voxels), calo)

    @classmethod
    def join(cls, parts: Sequence[Showers]) -> Self:
        """Return the showers of all parts, in order; raise InputError for none, or for different geometries."""
        if not parts or {part.geometry.name for part in parts} != {parts[0].geometry.name}:
            names = sorted({part.geometry.name for part in parts})
            raise InputError(f"showers of geometries {names} cannot be joined; expected one geometry.")
        energies, deposits = zip(*((part.energies, part.deposits) for part in parts), strict=True)
        return cls(np.concatenate(energies), np.concatenate(deposits), parts[0].geometry)

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, chosen: Any) -> Showers:
        """Return the showers of a slice, a mask or a list of indices."""
        return Showers(self.energies[chosen], self.deposits[chosen], self.geometry)

    def __repr__(self) -> str:
        span = f"{self.energies.min():g} to {self.energies.max():g} MeV" if len(self) else "none"
        return f"Showers({len(self)} in {self.geometry.name}, {span})"

    @cached_property
    def layers(self) -> Floats:
        """The energy in each layer (n, layers), MeV."""
        return np.add.reduceat(self.deposits, self.geometry.offsets[:-1], axis=1, dtype=np.float64)

    @property
    def hits(self) -> Floats:
        """The voxels with energy in each layer (n, layers)."""
        return np.asarray(np.add.reduceat(self.deposits > 0, self.geometry.offsets[:-1], axis=1, dtype=np.int64))

    @property
    def shares(self) -> Floats:
        """Each voxel's share of the energy of its layer (n, voxels); 0 in an empty layer."""
        return np.asarray(self.deposits / np.where(self.layers > 0, self.layers, 1)[:, self.geometry.layer_of])

    @property
    def totals(self) -> Floats:
        """The energy in all voxels (n,), MeV."""
        return np.asarray(self.layers.sum(axis=1))
