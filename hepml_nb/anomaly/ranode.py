"""R-ANODE: a flow of the signal alone, and its fraction, beside a fixed background density (arXiv:2312.11629)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.cathode import SMALL_FIT
from hepml_nb.anomaly.density import DensityConfig, SidebandDensity, held_out, tensors
from hepml_nb.anomaly.epochs import BestEpochs
from hepml_nb.anomaly.masses import in_window
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, derive_seed, threads
from hepml_nb.learn import ConditionalFlow, FitConfig, RowBatches, fit

__all__ = ["Mixture", "RAnode", "RAnodeConfig"]

_CHUNK = 50_000  # rows at a time


@dataclass(frozen=True)
class RAnodeConfig(DensityConfig):
    """The background's flow (`DensityConfig`), and the signal's.

    signal_transforms, signal_hidden: of the signal's flow. signal_best: epochs that are averaged. splits: trainings,
    each with its own split into training and validation events. fraction: of signal, at the start of the fit or, with
    learn_fraction=False, for good. pace: by how much the fraction's logit learns faster than the flow, for trainings
    of few steps. signal_fit: the training of signal and fraction.
    """

    signal_transforms: int = 6
    signal_hidden: tuple[int, ...] = (64, 64)
    signal_best: int = 10
    splits: int = 20
    fraction: float = 0.01
    learn_fraction: bool = True
    pace: float = 1.0
    signal_fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=300, lr=3e-4, batch_size=256, schedule="constant", patience=None, weight_decay=0.01
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.fraction < 1 or self.splits < 1 or self.signal_best < 1 or not self.pace > 0:
            raise InputError(
                f"fraction={self.fraction!r}, splits={self.splits!r}, signal_best={self.signal_best!r}, "
                f"pace={self.pace!r}; expected a fraction in (0, 1), at least 1, at least 1 and a positive number."
            )


class Mixture(nn.Module):
    """w p_signal(y) + (1 - w) p_background(y), y = (features, mjj), with a flow for the signal and a known background.

    The fraction w is the logistic function of one weight.
    """

    def __init__(self, config: RAnodeConfig, features: int) -> None:
        super().__init__()
        self.signal = ConditionalFlow(
            features + 1, kind=config.kind, transforms=config.signal_transforms, hidden=config.signal_hidden,
            bins=config.bins,
        )  # fmt: skip
        self.pace = config.pace
        start = torch.tensor(config.fraction).logit() / config.pace
        self.slow_logit = nn.Parameter(start, requires_grad=config.learn_fraction)

    @property
    def fraction(self) -> float:
        """The fraction of signal, w."""
        return float(torch.sigmoid(self.pace * self.slow_logit.detach()))

    def loss(self, y: Tensor, log_background: Tensor) -> Tensor:
        """Return the mean of -log p(y), the likelihood of the data; log_background (n,): of the same events."""
        logit = self.pace * self.slow_logit
        signal = logsigmoid(logit) + self.signal.log_prob(y)
        return -torch.logaddexp(signal, logsigmoid(-logit) + log_background).mean()


class RAnode(SidebandDensity, AnomalyMethod):
    """Residual ANODE: only what the background leaves over is learnt.

    p(x, m) in the window is w p_signal(x, m) + (1 - w) p(x | m) p(m). The background's p(x | m) is the flow of the
    sideband and its p(m) the fit to the sideband's spectrum (the paper takes a histogram of the data); both are fixed.
    Signal flow and fraction w maximise the likelihood of the window's data together; the score is
    log p_signal(x, m) - log p_background(x, m), with p_signal the mean over epochs and splits. `signal` draws what was
    found. The signal's flow sees the mass too, so that a bump in it counts.
    "small": one split of the paper's 20, a tenth of its epochs at a higher rate.
    """

    name = "ranode"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": RAnodeConfig(),
        "small": RAnodeConfig(
            transforms=2, hidden=(64, 64), best=3, fit=SMALL_FIT, signal_transforms=2, signal_best=3, splits=1,
            pace=30.0, signal_fit=FitConfig(epochs=30, lr=3e-3, batch_size=256, patience=None),
        ),
    }  # fmt: skip

    @property
    def fraction(self) -> float:
        """Fraction of signal among the events of the window, as fitted; raises RunError before the fit."""
        self._must_be_ready("fraction")
        return float(np.mean([model.fraction for model in self._mixtures]))

    def signal(self, n: int, seed: int = 0) -> Events:
        """Draw n events of the signal as it was learnt; raise RunError before the fit."""
        self._must_be_ready("signal")
        shares = np.bincount(np.arange(n) % len(self._mixtures), minlength=len(self._mixtures))
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed(seed, self.name, "signal"))
            y = torch.cat([m.signal.sample(int(k)) for m, k in zip(self._mixtures, shares, strict=True)])
        drawn = y.double().numpy()
        return Events(drawn[:, -1], self.background.scaler.inverse(drawn[:, :-1]), self._names)

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        c: RAnodeConfig = self.config
        own = derive_seed(seed, self.name, "background")
        self.background = self._beside(sideband, f"{self.name} background", own, untrained)
        self._masses = in_window(sideband, signal_region)
        y = tensors(self._places(signal_region))[0]
        log_background = tensors(self._log_background(signal_region))[0]
        self._mixtures = []
        for split in range(c.splits):
            own = derive_seed(seed, self.name, "split", split)
            self._mixtures += self._train(y, log_background, own, untrained)

    def _train(self, y: Tensor, log_background: Tensor, seed: int, untrained: bool) -> list[Any]:
        c: RAnodeConfig = self.config
        config = replace(c.signal_fit, epochs=0) if untrained else c.signal_fit
        keep = torch.from_numpy(held_out(len(y), seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            model = Mixture(c, y.shape[1] - 1)
        model.signal.standardise(y[keep])
        chosen = BestEpochs(c.signal_best)
        batches = RowBatches(y[keep], log_background[keep], batch_size=config.batch_size, seed=seed)
        fit(model, chosen, batches, [(y[~keep], log_background[~keep])], config, seed=seed, desc=self.name)
        return chosen.models(model)

    def _places(self, events: Events) -> Floats:
        """Return y = (scaled features, mjj), (n, d + 1)."""
        return np.column_stack([self.background.scaler.forward(events.features), events.mjj])

    def _log_background(self, events: Events) -> Floats:
        """Return log p_background(y) (n,), in the units of y."""
        masses = self._masses
        log_mass = np.log(np.interp(events.mjj, masses.masses, masses.density) / masses.expected)
        given = self.background.log_prob(events.mjj, events.features)
        total: Floats = given - self.background.scaler.log_det(events.features) + log_mass
        return total

    def _score(self, events: Events) -> Floats:
        threads(self.config.signal_fit.threads)
        (y,) = tensors(self._places(events))
        with torch.inference_mode():
            each = [predicted(m.signal.log_prob, y) for m in self._mixtures]
        mean: Floats = np.logaddexp.reduce(each, axis=0) - np.log(len(each))
        return mean - self._log_background(events)


def predicted(call: Any, y: Tensor) -> Floats:
    """Return call(part of y) of all rows, part by part, (n,)."""
    found: Floats = torch.cat([call(y[i : i + _CHUNK]) for i in range(0, len(y), _CHUNK)]).double().numpy()
    return found
