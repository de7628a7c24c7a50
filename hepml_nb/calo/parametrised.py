"""GFLASH as a generator among the others: the parametrisation of Grindhammer and Peters on the scale of the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, rng
from hepml_nb.simulate import gflash

__all__ = ["Gflash", "GflashConfig"]

_CALIBRATION = 2000


@dataclass(frozen=True)
class GflashConfig:
    """particle: "electron", "photon", or None for that of the geometry (dataset 1 has photons)."""

    particle: str | None = None

    def __post_init__(self) -> None:
        if self.particle not in (None, *gflash.PARTICLES):
            raise InputError(f"particle={self.particle!r}; expected one of {', '.join(gflash.PARTICLES)}, or None.")


class Gflash(ShowerModel):
    """The classical fast simulation (hep-ex/0001020): no training, but one factor that sets the scale of the energy.

    The factor is the mean total of the training showers over that of as many parametrised ones of the same energies;
    all shapes are the paper's. untrained=True leaves it at 1.
    """

    name = "gflash"
    configs: ClassVar[Mapping[str, Any]] = {"paper": GflashConfig(), "small": GflashConfig()}
    trains = False

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        named = "photon" if "photon" in self.geometry.name else "electron"
        self._particle, self._scale = self.config.particle or named, 1.0
        if not untrained:
            some = train[rng(seed, "some").permutation(len(train))[:_CALIBRATION]]
            made = gflash.showers(some.energies, self.geometry, self._particle, rng(seed, "calibration"))
            self._scale = float(some.totals.sum() / made.sum(dtype=np.float64))

    def _sample(self, energies: Floats, seed: int) -> Floats:
        return gflash.showers(energies, self.geometry, self._particle, rng(seed, "draw")) * np.float32(self._scale)
