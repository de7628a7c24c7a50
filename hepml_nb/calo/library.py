"""A shower library: showers of the training with nearly the wanted energy, scaled to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, rng

__all__ = ["Library", "LibraryConfig"]


@dataclass(frozen=True)
class LibraryConfig:
    """size: showers kept, drawn at random (None: all of the training). nearest: of how many one is drawn."""

    size: int | None = None
    nearest: int = 10

    def __post_init__(self) -> None:
        if self.nearest < 1 or (self.size is not None and self.size < self.nearest):
            raise InputError(
                f"size={self.size!r}, nearest={self.nearest!r}; expected nearest >= 1 and size >= nearest."
            )


class Library(ShowerModel):
    """Frozen showers (the libraries of ATLAS, J. Phys. Conf. Ser. 160 (2009) 012082): the trivial baseline.

    One of the showers `nearest` in the logarithm of the energy is drawn and scaled by the ratio of the energies. Of
    many showers of the same energy all are equally near. Single showers are true; what the library lacks is new ones:
    a sample much larger than the library repeats it.
    """

    name = "library"
    configs: ClassVar[Mapping[str, Any]] = {"paper": LibraryConfig(), "small": LibraryConfig(size=2000)}
    trains = False

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        size = len(train) if self.config.size is None else min(self.config.size, len(train))
        chosen = rng(seed, "library").permutation(len(train))[:size]
        self._kept = train[chosen[np.argsort(train.energies[chosen], kind="stable")]]

    def _sample(self, energies: Floats, seed: int) -> Floats:
        generator, known = rng(seed, "draw"), np.log(self._kept.energies)
        wanted, k = np.log(energies), min(self.config.nearest, len(known))
        # the nearest k of sorted numbers lie in a row; those as near as the last of them count too
        first = np.clip(np.searchsorted(known, wanted) - k, 0, len(known) - 2 * k if len(known) > 2 * k else 0)
        window = first[:, None] + np.arange(min(2 * k, len(known)))
        radius = np.sort(np.abs(known[window] - wanted[:, None]), axis=1)[:, k - 1] + 1e-9
        low, high = np.searchsorted(known, wanted - radius), np.searchsorted(known, wanted + radius, side="right")
        at = low + (generator.random(len(wanted)) * (high - low)).astype(np.int64)
        scale = energies / self._kept.energies[at]
        return np.asarray(self._kept.deposits[at] * scale[:, None])
