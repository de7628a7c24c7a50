"""LaCATHODE: data and template compared in a latent space, where nothing follows the mass (arXiv:2210.14924)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.cathode import Cathode, CathodeConfig
from hepml_nb.anomaly.classifiers import RatioClassifier
from hepml_nb.anomaly.density import SidebandDensity
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, derive_seed, rng

__all__ = ["LaCathode"]


class LaCathode(SidebandDensity, AnomalyMethod):
    """Latent CATHODE: the flow of the sideband maps the window's data to normal numbers, and a classifier works there.

    Background is standard normal in the latent space at every mass, inside the window and outside of it: the template
    is normal numbers, four times as many as data. A classifier of features that follow the mass is asked for places
    that it was not trained at as soon as events outside of the window are scored, and sculpts a bump into a smooth
    spectrum; here every background event lies where the classifier was trained.
    The latent numbers are those of the best epoch: each epoch has a latent space of its own.
    The price, with few events and trees: a signal that is narrow in the features is wide in the latent space, and what
    the flow misses in the tails lies along its axes; at a hard cut it finds about half of what CATHODE finds.
    """

    name = "lacathode"
    configs: ClassVar[Mapping[str, CathodeConfig]] = Cathode.configs

    def latent(self, events: Events) -> Floats:
        """Return the normal numbers (n, d) of events; raise RunError before the fit."""
        self._must_be_ready("latent")
        return self.density.latent(events.mjj, events.features)

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        if self.config.generator != "flow":
            raise InputError(f"generator={self.config.generator!r}: a latent space needs generator='flow'.")
        self.density = self._beside(sideband, self.name, derive_seed(seed, self.name, "learn"), untrained)
        found = self.density.latent(signal_region.mjj, signal_region.features)
        n = int(self.config.oversample * len(found))
        normal = rng(seed, self.name, "template").standard_normal((n, found.shape[1]))
        self._classifier = RatioClassifier(self.config.classifier).fit(
            normal, found, derive_seed(seed, "classifier"), untrained=untrained
        )

    def _score(self, events: Events) -> Floats:
        return self._classifier.probability(self.density.latent(events.mjj, events.features))
