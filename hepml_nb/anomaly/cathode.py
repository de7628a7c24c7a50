"""CATHODE: the density of the sideband, interpolated and drawn in the window, against the data (arXiv:2109.00546)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hepml_nb.anomaly.base import TemplateConfig, TemplateMethod
from hepml_nb.anomaly.classifiers import CONFIGS, ClassifierConfig
from hepml_nb.anomaly.density import DensityConfig, SidebandDensity
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.learn import FitConfig

__all__ = ["SMALL_FIT", "Cathode", "CathodeConfig", "CathodeFlowMatching"]

SMALL_FIT = FitConfig(epochs=20, lr=2e-3, batch_size=1024, schedule="one-cycle", patience=None)
"""A flow's training on two cores: fewer and larger steps, at a rate that rises and falls."""


@dataclass(frozen=True)
class CathodeConfig(DensityConfig, TemplateConfig):
    """The flow of the sideband (`DensityConfig`), and the classifier of data against template (`TemplateConfig`)."""

    classifier: ClassifierConfig = field(default_factory=lambda: CONFIGS["paper"])

    def __post_init__(self) -> None:
        DensityConfig.__post_init__(self)
        TemplateConfig.__post_init__(self)


class Cathode(SidebandDensity, TemplateMethod):
    """Classifying anomalies through outer density estimation.

    A conditional flow learns p(features | mjj) beside the window, by maximum likelihood. Asked for the masses of the
    window it interpolates, and draws a template of the background there, four times as large as the data; a classifier
    tells data from template. Draws come in equal shares from the ten epochs of lowest validation loss.

    Where this is not the paper: the flow's blocks are splines instead of affine (`Density`), the masses of the template
    follow a fit to the sideband instead of the data of the window (`masses.interpolated`), and nothing falls outside
    the features' range (`LogitScaler`). "small": 2 spline blocks of 64 nodes for 4 of 128, a fifth of the epochs
    in larger batches with a learning rate that falls to zero, so that the last three epochs are nearly alike and stand
    for ten; trees as in arXiv:2309.13111 for the network.
    """

    name = "cathode"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CathodeConfig(),
        "small": CathodeConfig(transforms=2, hidden=(64, 64), best=3, fit=SMALL_FIT, classifier=CONFIGS["small"]),
    }

    def _learn(self, sideband: Events, signal_region: Events, seed: int, untrained: bool) -> None:
        self.density = self._beside(sideband, self.name, seed, untrained)

    def _template(self, mjj: Floats, seed: int) -> Floats:
        return self.density.sample(mjj, seed)


class CathodeFlowMatching(Cathode):
    """CATHODE with conditional flow matching (arXiv:2210.02747) in the place of the flow, as in arXiv:2310.06897 for
    the particles of jets: a velocity is regressed on straight lines from noise to events, and noise that follows it is
    a template. It trains fast, and a draw costs one call of the network for every half step."""

    name = "cathode-fm"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": replace(
            Cathode.configs["paper"],
            generator="flow-matching",
            hidden=(256, 256, 256, 256),
            fit=FitConfig(epochs=100, lr=1e-3, batch_size=256, schedule="cosine", patience=None),
        ),
        "small": replace(
            Cathode.configs["small"],
            generator="flow-matching",
            hidden=(64, 64, 64),
            steps=10,
            fit=FitConfig(epochs=40, lr=5e-3, batch_size=1024, patience=None),
        ),
    }
