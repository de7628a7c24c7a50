"""ANODE: the density of the data in the window over that of the sideband, interpolated (arXiv:2001.04990)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.cathode import SMALL_FIT
from hepml_nb.anomaly.density import Density, DensityConfig, SidebandDensity
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import derive_seed

__all__ = ["Anode"]


class Anode(SidebandDensity, AnomalyMethod):
    """Anomaly detection with density estimation: log p(x | mjj, window) - log p(x | mjj, sideband).

    Two flows and no classifier. The flow of the window sees signal and background, that of the sideband is interpolated
    in the mass and sees background only; their ratio is highest where signal is. A small signal is a small bump on a
    large density, which the first flow has to find as well as everything else: that is why later methods classify.
    The flows are those of `Density`; the paper's are affine, with the ten last epochs in its later use
    (arXiv:2109.00546). "small" is that of CATHODE for both: as many passes over the window's fewer events are few
    steps, and even beside the exact density of the background such a flow of the window finds little at a hard cut.
    """

    name = "anode"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": DensityConfig(),
        "small": DensityConfig(transforms=2, hidden=(64, 64), best=3, fit=SMALL_FIT),
    }

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        seeds = {where: derive_seed(seed, self.name, where) for where in ("sideband", "window")}
        self.outside = self._beside(sideband, f"{self.name} sideband", seeds["sideband"], untrained)
        self.inside = Density(self.config, f"{self.name} window").fit(
            signal_region.mjj, signal_region.features, seeds["window"], untrained=untrained
        )

    def _score(self, events: Events) -> Floats:
        asked = events.mjj, events.features
        return self.inside.log_prob(*asked) - self.outside.log_prob(*asked)
