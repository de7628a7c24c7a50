"""Weak supervision: mixtures of signal and background told apart, by which signal is told from background."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.classifiers import CONFIGS, RatioClassifier
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import derive_seed

__all__ = ["Cwola", "Idealised", "Supervised", "SupervisedCwola"]


class _Classified(AnomalyMethod):
    """A method that is one classifier of two samples; a subclass says which.

    Configurations: "paper", the network of arXiv:2109.00546; "trees", the ensemble of arXiv:2309.13111; "small" and
    "small-network", less of either.
    """

    configs = CONFIGS

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        zero, one = self._samples(sideband, signal_region, pure)
        self._classifier = RatioClassifier(self.config).fit(
            zero.features, one.features, derive_seed(seed, self.name), untrained=untrained
        )

    def _score(self, events: Events) -> Floats:
        return self._classifier.probability(events.features)

    @abstractmethod
    def _samples(self, sideband: Events, signal_region: Events, pure: Mapping[str, Events]) -> tuple[Events, Events]:
        """Return the two samples, that which a signal makes richer last."""


class Cwola(_Classified):
    """CWoLa hunting: events of the window against those beside it, both of them data (arXiv:1902.02634).

    If the features know nothing of the mass, both are mixtures of the same two densities with other shares, and the
    best classifier of mixtures is the best one of signal and background (arXiv:1708.02949). Features that do follow the
    mass tell window from sideband by themselves: then the method fails. As in the paper both sides together
    count as much as the window; the paper's sidebands are narrow, which here is up to the window's `reach`, and its
    nested cross-validation is `cross_fit`. The classifier is the one of later comparisons (arXiv:2109.00546).
    """

    name = "cwola"

    def _samples(self, sideband: Events, signal_region: Events, pure: Mapping[str, Events]) -> tuple[Events, Events]:
        return sideband, signal_region


class Idealised(_Classified):
    """The idealised anomaly detector: the window's data against a perfect template, pure background in the same window
    (arXiv:2109.00546). No method that has to learn its background can be expected to do better."""

    name = "idealised"
    needs = frozenset({"background"})

    def _samples(self, sideband: Events, signal_region: Events, pure: Mapping[str, Events]) -> tuple[Events, Events]:
        return pure["background"], signal_region


class Supervised(_Classified):
    """Simulated signal against simulated background in the window: what could be had if the signal were known
    (the upper line of arXiv:2109.00546). It reads no data."""

    name = "supervised"
    needs = frozenset({"background", "signal"})

    def _samples(self, sideband: Events, signal_region: Events, pure: Mapping[str, Events]) -> tuple[Events, Events]:
        return pure["background"], pure["signal"]


class SupervisedCwola(_Classified):
    """Simulated signal against the data of the window: a search for one signal without simulated background.

    Some signal among the data does not move the optimum: p_s / (f p_s + (1 - f) p_b) rises with p_s / p_b
    (arXiv:1708.02949).
    """

    name = "supervised-cwola"
    needs = frozenset({"signal"})

    def _samples(self, sideband: Events, signal_region: Events, pure: Mapping[str, Events]) -> tuple[Events, Events]:
        return signal_region, pure["signal"]
