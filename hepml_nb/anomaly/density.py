"""p(features | mjj) learnt from events: a conditional flow, or flow matching, with an average over its best epochs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.anomaly.epochs import BestEpochs
from hepml_nb.anomaly.preprocess import Floats, LogitScaler
from hepml_nb.anomaly.sample import Events
from hepml_nb.core import InputError, RunError, derive_seed, rng, threads
from hepml_nb.learn import ConditionalFlow, FitConfig, FlowMatching, History, RowBatches, fit
from hepml_nb.learn.flows import FlowKind

__all__ = ["Density", "DensityConfig", "SidebandDensity", "held_out", "tensors"]

_CHUNK = 50_000  # rows at a time outside of training
_HELD_OUT, _MOST = 0.2, 50_000  # share of the events that choose the epochs, and no more than so many of them


@dataclass(frozen=True)
class DensityConfig:
    """How a density is learnt.

    generator: "flow" (exact likelihood) or "flow-matching" (draws only). kind, transforms, hidden, bins: of the flow,
    see `learn.ConditionalFlow`; hidden also of the velocity. steps: of the integration, in flow matching. best: so
    many epochs of lowest validation loss are averaged. fit: the training.
    """

    generator: Literal["flow", "flow-matching"] = "flow"
    kind: FlowKind = "autoregressive"
    transforms: int = 4
    hidden: tuple[int, ...] = (128, 128)
    bins: int = 8
    steps: int = 40
    best: int = 10
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=100, lr=1e-4, batch_size=256, schedule="constant", patience=None, weight_decay=1e-6
        )
    )

    def __post_init__(self) -> None:
        if self.generator not in ("flow", "flow-matching"):
            raise InputError(f"generator={self.generator!r}; expected 'flow' or 'flow-matching'.")
        if self.best < 1 or self.steps < 1:
            raise InputError(f"best={self.best!r} and steps={self.steps!r} must be at least 1.")


class Density:
    """p(x | mjj) of features in the place that `LogitScaler` gives them; epochs are averaged as in CATHODE.

    CATHODE (arXiv:2109.00546) learns it with a masked autoregressive flow of 15 affine blocks. Here the autoregressive
    flow has rational-quadratic splines (arXiv:1906.04032), of which a few do as much. Its density is the mean of the
    densities of the `best` epochs, and its draws come from them in equal shares.
    """

    models: list[Any]
    history: History

    def __init__(self, config: DensityConfig, desc: str = "density") -> None:
        self.config, self.desc, self.scaler = config, desc, LogitScaler()
        self.models = []

    def fit(self, mjj: npt.ArrayLike, x: npt.ArrayLike, seed: int = 0, *, untrained: bool = False) -> Self:
        """Learn from masses (n,) and features (n, d); return self. untrained=True takes no step.

        Raises InputError for too few events, values that are not finite or a constant feature.
        """
        values = np.asarray(x, np.float64)
        self.scaler.fit(values)
        rows = tensors(self.scaler.forward(values), np.asarray(mjj, np.float64)[:, None])
        keep = held_out(len(values), seed)
        train, val = ([part[torch.from_numpy(which)] for part in rows] for which in (keep, ~keep))
        model, c = self._network(values.shape[1], seed).standardise(*train), self.config.fit
        c = replace(c, epochs=0) if untrained else c
        chosen = BestEpochs(self.config.best)
        batches = RowBatches(*train, batch_size=c.batch_size, seed=derive_seed(seed, "order"))
        self.history = fit(model, chosen, batches, [tuple(val)], c, seed=seed, desc=self.desc)
        self.models = chosen.models(model)
        return self

    def log_prob(self, mjj: npt.ArrayLike, x: npt.ArrayLike) -> Floats:
        """Return log p(x | mjj), natural logarithm, (n,), in the units of the features (n, d)."""
        values = np.asarray(x, np.float64)
        each = [self._each(lambda m, z, c: m.log_prob(z, c)[:, None], one, mjj, values) for one in self._flows()]
        mean = np.logaddexp.reduce([a[:, 0] for a in each], axis=0) - np.log(len(each))
        total: Floats = mean + self.scaler.log_det(values)
        return total

    def latent(self, mjj: npt.ArrayLike, x: npt.ArrayLike) -> Floats:
        """Return the normal numbers (n, d) of features (n, d), by the flow of the best epoch."""
        return self._each(lambda m, z, c: m.encode(z, c)[0], self._flows()[0], mjj, np.asarray(x, np.float64))

    def sample(self, mjj: npt.ArrayLike, seed: int = 0) -> Floats:
        """Draw features (n, d), one row for each mass (n,)."""
        masses = np.asarray(mjj, np.float64)
        self._must_be_fitted()
        which = rng(seed, "epochs").permutation(len(masses)) % len(self.models)
        z = np.empty((len(masses), len(self.scaler.low)))
        threads(self.config.fit.threads)
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed(seed, "draws"))
            for i, model in enumerate(self.models):
                rows = np.flatnonzero(which == i)
                for some in (rows[a : a + _CHUNK] for a in range(0, len(rows), _CHUNK)):
                    z[some] = self._draw(model, *tensors(masses[some][:, None])).double().numpy()
        return self.scaler.inverse(z)

    def _draw(self, model: Any, context: Tensor) -> Tensor:
        drawn: Tensor
        if self.config.generator == "flow":
            drawn = model.sample(context)
        else:
            drawn = model.sample(context, steps=self.config.steps)
        return drawn

    def _each(self, call: Any, model: Any, mjj: npt.ArrayLike, x: Floats) -> Floats:
        """Return call(model, z, context) of all events, chunk by chunk."""
        rows = tensors(self.scaler.forward(x), np.asarray(mjj, np.float64)[:, None])
        threads(self.config.fit.threads)
        with torch.inference_mode():
            parts = [call(model, *(a[i : i + _CHUNK] for a in rows)) for i in range(0, max(len(x), 1), _CHUNK)]
        found: Floats = torch.cat(parts).double().numpy()
        return found

    def _network(self, features: int, seed: int) -> Any:
        c = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.desc, "weights"))
            if c.generator == "flow-matching":
                return FlowMatching(features, 1, hidden=c.hidden)
            return ConditionalFlow(features, 1, kind=c.kind, transforms=c.transforms, hidden=c.hidden, bins=c.bins)

    def _flows(self) -> list[Any]:
        self._must_be_fitted()
        if self.config.generator != "flow":
            raise InputError("flow matching draws events, but gives no density at a call; take generator='flow'.")
        return self.models

    def _must_be_fitted(self) -> None:
        if not self.models:
            raise RunError("the density is not fitted; call .fit(mjj, features) first.")


class SidebandDensity:
    """A method that begins with the density of the sideband: it learns one, or is given one that another has learnt."""

    config: Any
    _given: Density | None = None

    def using(self, density: Density) -> Self:
        """Make `fit` take this density instead of learning one, and return self.

        CATHODE, LaCATHODE, ANODE and R-ANODE differ in what they do with it; on one flow they differ in nothing else,
        and four trainings are one. It must have learnt the events that `fit` gets as sideband, which nobody checks.
        Raises RunError for one that is not fitted, InputError for one that only draws where a likelihood is needed.
        """
        density._must_be_fitted()
        if density.config.generator != self.config.generator:
            raise InputError(
                f"the density is a {density.config.generator!r}; this method is set to {self.config.generator!r}."
            )
        self._given = density
        return self

    def _beside(self, sideband: Events, desc: str, seed: int, untrained: bool) -> Density:
        """Return the density that was given, or a new one of the sideband."""
        if self._given is None:
            return Density(self.config, desc).fit(sideband.mjj, sideband.features, seed, untrained=untrained)
        if len(self._given.scaler.low) != len(sideband.names):
            raise InputError(
                f"the density has {len(self._given.scaler.low)} features, the sideband {len(sideband.names)}; "
                "give one that was learnt on it."
            )
        return self._given


def held_out(n: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return which of n events are trained on (True); the others choose the epochs. InputError for too few events."""
    keep: npt.NDArray[np.bool_] = rng(seed, "held out").random(n) >= min(_HELD_OUT, _MOST / max(n, 1))
    if keep.all() or not keep.any():
        raise InputError(f"{n} events are too few to train and to validate a density.")
    return keep


def tensors(*arrays: Floats) -> list[Tensor]:
    """Return arrays as float32 tensors."""
    return [torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in arrays]
