"""What every generator of showers promises: it is fitted to showers and draws new ones of any energy in their range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, RunError, derive_seed, rng
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["ShowerModel"]

_FEWEST = 50
_HELD_OUT = 0.1
_BEYOND = 0.02
"""Share by which an energy may lie beyond those seen: the largest of a finite sample falls short of the range's end."""


class ShowerModel(ABC):
    """A generator of showers p(deposits | energy), for the geometry that it is fitted in.

    A subclass names itself and its configurations ("paper": the published defaults, "small": for two cores) and writes
    `_fit` and `_sample`. The threshold of the readout is applied to what it draws, so that no method need do it.
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]]
    trains: ClassVar[bool] = True  # untrained=True changes what is drawn
    most: ClassVar[int] = 5000  # showers drawn at a time, which bounds memory
    geometry: Geometry
    energy_range: tuple[float, float]  # MeV, of the showers that it was fitted to

    def __init__(self, config: Any = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self._ready = False

    def fit(self, showers: Showers, val: Showers | None = None, seed: int = 0, *, untrained: bool = False) -> Self:
        """Learn the showers; return self. val: for early stopping, a tenth of the showers where None.

        untrained=True takes no step; scales of inputs are still measured. Raises InputError for fewer than 50 showers
        or validation showers of another geometry.
        """
        if val is None:
            held = rng(seed, "held out").random(len(showers)) < _HELD_OUT
            showers, val = showers[~held], showers[held]
        if len(showers) < _FEWEST or not len(val):
            raise InputError(f"{len(showers)} showers to train and {len(val)} to validate; expected {_FEWEST} and 1.")
        if val.geometry.name != showers.geometry.name:
            raise InputError(f"val is in {val.geometry.name}, the showers are in {showers.geometry.name}.")
        self.geometry = showers.geometry
        self.energy_range = float(showers.energies.min()), float(showers.energies.max())
        self._fit(showers, val, seed, untrained)
        self._ready = True
        return self

    def sample(self, energies: npt.ArrayLike, seed: int = 0, *, beyond: bool = False) -> Showers:
        """Return one new shower for each energy (n,) in MeV.

        Raises InputError for energies outside those of the training, unless beyond=True says that this is meant.
        """
        if not self._ready:
            raise RunError(f"sample needs a fitted {self.name}; call .fit(showers) first.")
        wanted = np.asarray(energies, np.float64)
        if wanted.ndim != 1 or not (np.isfinite(wanted).all() and (wanted > 0).all()):
            raise InputError(f"energies of shape {wanted.shape}; expected a list of finite energies above 0 MeV.")
        low, high = self.energy_range
        outside = (wanted < low * (1 - _BEYOND)) | (wanted > high * (1 + _BEYOND))
        if outside.any() and not beyond:
            raise InputError(
                f"{outside.sum()} of {len(wanted)} energies ({wanted[outside][0]:g} MeV first) lie outside the trained "
                f"range of {low:g} to {high:g} MeV; train there, or pass beyond=True to extrapolate."
            )
        deposits = np.zeros((len(wanted), self.geometry.voxels), np.float32)
        for start in range(0, len(wanted), self.most):
            drawn = self._sample(wanted[start : start + self.most], derive_seed(seed, self.name, start))
            deposits[start : start + self.most] = np.maximum(drawn, 0)
        deposits[deposits < self.geometry.threshold] = 0
        return Showers(wanted, deposits, self.geometry)

    @abstractmethod
    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None: ...

    @abstractmethod
    def _sample(self, energies: Floats, seed: int) -> Floats:
        """Return deposits (n, voxels) in MeV for energies (n,) in MeV."""
