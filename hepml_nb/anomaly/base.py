"""What every anomaly method promises: fit on sideband and signal region, then a score of how signal-like events are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from hepml_nb.anomaly.classifiers import ClassifierConfig, RatioClassifier
from hepml_nb.anomaly.masses import MassDensity, in_window
from hepml_nb.anomaly.sample import Events, Floats, disjoint, same_columns
from hepml_nb.core import InputError, RunError, derive_seed

__all__ = ["LEAST", "AnomalyMethod", "TemplateConfig", "TemplateMethod", "varying"]

LEAST = 50
"""Fewer events of a sample than this cannot be learnt from."""

_ROUNDS = 50


class AnomalyMethod(ABC):
    """A method that learns from data, window and sideband, which events of the window look like a signal.

    A subclass names itself and its configurations ("paper": the published defaults, "small": for two cores) and writes
    `_fit` and `_score`. needs: the pure samples that a subclass asks for beside the data, "background" (more background
    events in the window than the data have: an idealisation) or "signal" (simulated signal).
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]]
    needs: ClassVar[frozenset[str]] = frozenset()
    deterministic: ClassVar[bool] = False  # the seed changes nothing

    def __init__(self, config: Any = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self._ready = False
        self._names: tuple[str, ...] = ()

    def fit(
        self,
        sideband: Events,
        signal_region: Events,
        *,
        background: Events | None = None,
        signal: Events | None = None,
        seed: int = 0,
        untrained: bool = False,
    ) -> Self:
        """Learn from the data inside and beside the window; return self. untrained=True takes no step.

        background, signal: the pure samples of `needs`; a method that does not need one ignores it, so that all can be
        called alike. Labels of the data are never read.
        Raises InputError for a missing pure sample, fewer than `LEAST` events in one, other columns, a feature that is
        the same for all events, no sideband on one side, and the same event in two samples.
        """
        given = {"background": background, "signal": signal}
        samples = {"sideband": sideband, "signal_region": signal_region}
        for name in sorted(self.needs):
            extra = given[name]
            if extra is None:
                raise InputError(f"{self.name} needs pure {name} events; call .fit(..., {name}=Events(...)).")
            samples[name] = extra
        for name, events in samples.items():
            if len(events) < LEAST:
                raise InputError(f"{name} has {len(events)} events; {self.name} needs at least {LEAST} to learn from.")
            same_columns(signal_region, events, name)
        varying(signal_region, "events of the signal region")
        _beside(sideband, signal_region)
        disjoint(**samples)
        pure = {name: samples[name] for name in self.needs}
        self._fit(sideband, signal_region, pure, seed, untrained)
        self._names, self._ready = signal_region.names, True
        return self

    def score(self, events: Events) -> Floats:
        """Return how signal-like each event is, (n,), higher for more; only the order has a meaning.

        Raises RunError before the fit, InputError for other columns than those of the fit.
        """
        self._must_be_ready("score")
        if events.names != self._names:
            raise InputError(f"events have the columns {', '.join(events.names)}; expected {', '.join(self._names)}.")
        scores = np.asarray(self._score(events), np.float64) if len(events) else np.zeros(0)
        if scores.shape != (len(events),) or not np.isfinite(scores).all():
            bad = int((~np.isfinite(scores)).sum())
            raise RunError(f"{self.name} gave scores of shape {scores.shape}, {bad} of them not finite.")
        return scores

    @abstractmethod
    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None: ...

    @abstractmethod
    def _score(self, events: Events) -> Floats: ...

    def _must_be_ready(self, verb: str) -> None:
        if not self._ready:
            raise RunError(f"{verb} needs a fitted {self.name}; call .fit(sideband, signal_region) first.")


@dataclass(frozen=True)
class TemplateConfig:
    """classifier: of data against template. oversample: template events per event of the signal region."""

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    oversample: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.oversample <= 1000:
            raise InputError(f"oversample={self.oversample!r}; expected a positive number, up to 1000.")


class TemplateMethod(AnomalyMethod):
    """A method that draws a background for the window from what it learnt beside it, and compares the data with that.

    A subclass writes `_learn` and `_template`; the classifier of data against template is trained here. The masses of
    the template follow the sideband's spectrum interpolated into the window (`masses.interpolated`), so that a
    signal does not enter them. A subclass's configuration extends TemplateConfig; where it has a `fit` this is the
    training of the template, and that of the classifier is `classifier.fit`.
    """

    def template(self, n: int, seed: int = 0) -> Events:
        """Return n background events in the window (without labels), as they were learnt, for closure tests.

        Raises RunError before the fit, and where hardly any drawn event lies where events can lie.
        """
        self._must_be_ready("template")
        return self._draw(n, seed)

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        self._masses: MassDensity = in_window(sideband, signal_region)
        self._columns = signal_region.names
        self._learn(sideband, signal_region, derive_seed(seed, self.name, "learn"), untrained)
        drawn = self._draw(int(np.ceil(self.config.oversample * len(signal_region))), derive_seed(seed, "template"))
        self._classifier = RatioClassifier(self.config.classifier).fit(
            drawn.features, signal_region.features, derive_seed(seed, "classifier"), untrained=untrained
        )

    def _score(self, events: Events) -> Floats:
        return self._classifier.probability(events.features)

    def _draw(self, n: int, seed: int) -> Events:
        """Draw until n rows are finite; a subclass returns NaN rows for what it drew outside of the features' range."""
        masses, rows, missing = [], [], n
        for attempt in range(_ROUNDS):
            mjj = self._masses.draw(missing, derive_seed(seed, "mjj", attempt))
            made = np.asarray(self._template(mjj, derive_seed(seed, "features", attempt)), np.float64)
            if made.shape != (missing, len(self._columns)):
                raise RunError(f"{self.name} drew {made.shape}; expected {(missing, len(self._columns))}.")
            good = np.isfinite(made).all(axis=1)
            masses.append(mjj[good])
            rows.append(made[good])
            missing -= int(good.sum())
            if not missing:
                return Events(np.concatenate(masses), np.concatenate(rows), self._columns)
        raise RunError(f"after {_ROUNDS} rounds {missing} of {n} template events were still outside; train longer.")

    @abstractmethod
    def _learn(self, sideband: Events, signal_region: Events, seed: int, untrained: bool) -> None: ...

    @abstractmethod
    def _template(self, mjj: Floats, seed: int) -> Floats:
        """Return background features (k, d) at the masses (k,); rows of NaN are drawn anew."""


def varying(events: Events, what: str = "events") -> None:
    """Raise InputError for a feature that is the same for all of the events."""
    constant = [name for name, spread in zip(events.names, np.ptp(events.features, axis=0), strict=True) if not spread]
    if constant:
        raise InputError(
            f"the feature {constant[0]!r} is the same for all {len(events)} {what}; leave it out "
            f"(events.only({', '.join(repr(name) for name in events.names if name not in constant)}))."
        )


def _beside(sideband: Events, signal_region: Events) -> None:
    low, high = float(signal_region.mjj.min()), float(signal_region.mjj.max())
    below, above = int((sideband.mjj < low).sum()), int((sideband.mjj > high).sum())
    if below + above < len(sideband) or not below or not above:
        raise InputError(
            f"of {len(sideband)} sideband events {below} lie below and {above} above the signal region ({low:g} to "
            f"{high:g} TeV), the others inside; expected all beside it, on both sides: Window.split makes them so."
        )
