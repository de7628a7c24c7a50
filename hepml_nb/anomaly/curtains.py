"""CURTAINs: an invertible map, trained by optimal transport, moves sideband events to the window (arXiv:2203.09470)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.anomaly.base import TemplateConfig, TemplateMethod
from hepml_nb.anomaly.classifiers import CONFIGS, ClassifierConfig
from hepml_nb.anomaly.density import tensors
from hepml_nb.anomaly.preprocess import LogitScaler
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, derive_seed, rng, threads
from hepml_nb.learn import ConditionalFlow, FitConfig, fit
from hepml_nb.learn.sinkhorn import sinkhorn_divergence

__all__ = ["Curtains", "CurtainsConfig", "MassMap", "transport_loss"]

Batch = tuple[Tensor, Tensor, Tensor, Tensor]

_START = 0.01  # of the usual first weights of what shapes the splines


@dataclass(frozen=True)
class CurtainsConfig(TemplateConfig):
    """width: TeV of the sideband used on either side. transforms, hidden, bins: of the map.

    blur: of the Sinkhorn divergence, in standard deviations of a feature. steps: batches per epoch and pair of samples.
    fit: the training of the map; its batch_size is that of each side.
    """

    classifier: ClassifierConfig = field(default_factory=lambda: CONFIGS["paper"])
    width: float = 0.2
    transforms: int = 4
    hidden: tuple[int, ...] = (32, 32)
    bins: int = 4
    blur: float = 1.0
    steps: int = 200
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=100, lr=1e-4, batch_size=256, schedule="cosine", patience=None, clip=5.0
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0 or self.steps < 1:
            raise InputError(f"width={self.width!r}, steps={self.steps!r}; expected a positive width and at least 1.")


class MassMap(nn.Module):
    """x at one mass -> x at another: an invertible flow up in mass, its inverse down, told the difference of masses."""

    def __init__(self, features: int, config: CurtainsConfig) -> None:
        super().__init__()
        self.flow = ConditionalFlow(
            features, 1, kind="coupling", transforms=config.transforms, hidden=config.hidden, bins=config.bins
        )
        for transform in self.flow.flow.transform.transforms:
            last = [layer for layer in transform.hyper if isinstance(layer, nn.Linear)][-1]
            with torch.no_grad():  # the map starts at the identity, so that only what follows the mass has to be learnt
                last.weight.mul_(_START)
                last.bias.mul_(_START)
        self.blur = config.blur

    def standardise(self, x: Tensor, difference: Tensor) -> Self:
        """Measure the scales of features (n, d) and of differences in mass (n, 1)."""
        self.flow.standardise(x, difference)
        return self

    def up(self, x: Tensor, difference: Tensor) -> Tensor:
        """Move x (n, d) up in mass by difference (n, 1) > 0."""
        scale = self.flow.x_scale
        moved: Tensor = self.flow.encode(x, difference)[0] * scale.scale + scale.mean
        return moved

    def down(self, x: Tensor, difference: Tensor) -> Tensor:
        """Move x (n, d) down in mass by difference (n, 1) > 0: the inverse of `up`."""
        return self.flow.decode(self.flow.x_scale(x), difference)


def transport_loss(model: MassMap, batch: Batch) -> Tensor:
    """Sinkhorn divergence of moved from real events, in both directions.

    batch: features and masses of a lower and of a higher sample, (n, d), (n, 1), (n, d), (n, 1); row i of one is moved
    to the mass of row i of the other.
    """
    low, low_mass, high, high_mass = batch
    difference = high_mass - low_mass
    upwards = sinkhorn_divergence(model.up(low, difference), high, blur=model.blur)
    return upwards + sinkhorn_divergence(model.down(high, difference), low, blur=model.blur)


class _Pairs:
    """Batches of random pairs, each from one of some (lower, higher) pairs of samples, in turn."""

    def __init__(self, pairs: Sequence[tuple[Events, Events]], size: int, steps: int, seed: int) -> None:
        self.pairs, self.size, self.steps, self.seed = pairs, size, steps, seed

    def __len__(self) -> int:
        return self.steps * len(self.pairs)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        generator = rng(self.seed, "pairs", epoch)
        for _ in range(self.steps):
            for sides in self.pairs:
                chosen = [side[generator.integers(0, len(side), self.size)] for side in sides]
                low, low_mass, high, high_mass = tensors(
                    *(part for one in chosen for part in (one.features, one.mjj[:, None]))
                )
                yield low, low_mass, high, high_mass


class Curtains(TemplateMethod):
    """Constructing unobserved regions by transforming adjacent intervals.

    Nothing is generated: events of either sideband are moved to masses of the window. The map is trained between the
    sidebands with the Sinkhorn divergence of moved and real events, up and (by its inverse) down; as published, also
    within each sideband, from its lower to its upper half, so that it meets small steps in mass. Each event of the
    template is an event of a sideband, drawn at random, at a mass that follows the fit to the sidebands.
    The blur is wide: with batches of a few hundred events, a sharp distance prefers maps that are too narrow.
    Features are those of `LogitScaler` instead of scaled to an interval. "small": wider sidebands and 480 steps.
    """

    name = "curtains"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CurtainsConfig(),
        "small": CurtainsConfig(
            classifier=CONFIGS["small"],
            width=0.4,
            transforms=2,
            steps=8,
            fit=FitConfig(epochs=20, lr=3e-3, batch_size=256, schedule="cosine", patience=None, clip=5.0),
        ),
    }

    def _learn(self, sideband: Events, signal_region: Events, seed: int, untrained: bool) -> None:
        c: CurtainsConfig = self.config
        low, high = float(signal_region.mjj.min()), float(signal_region.mjj.max())
        used = sideband[(sideband.mjj > low - c.width) & (sideband.mjj < high + c.width)]
        sides = [used[used.mjj < low], used[used.mjj > high]]
        if min(len(side) for side in sides) < 4:
            raise InputError(
                f"{len(sides[0])} and {len(sides[1])} events lie within {c.width:g} TeV of the window: too few."
            )
        self.scaler = LogitScaler().fit(used.features)
        below, above = (Events(side.mjj, self.scaler.forward(side.features), side.names) for side in sides)
        self._places = (below, above)
        pairs = [(below, above), *(_halves(side) for side in self._places)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            self.model = MassMap(used.features.shape[1], c)
        train = _Pairs(pairs, c.fit.batch_size, c.steps, derive_seed(seed, "train"))
        val = _Pairs(pairs[:1], 512, 2, derive_seed(seed, "validation"))
        first = next(iter(train.epoch(0)))
        every = torch.cat([tensors(side.features)[0] for side in self._places])
        # as far apart as the sidebands are, so that a difference of zero is a standardised zero, too
        self.model.standardise(every, torch.cat([first[3] - first[1], first[1] - first[3]]))
        if not untrained:
            fit(self.model, transport_loss, train, val, c.fit, seed=seed, desc=self.name)

    def _template(self, mjj: Floats, seed: int) -> Floats:
        generator = rng(seed, "sideband")
        below, above = self._places
        lower = generator.random(len(mjj)) < len(below) / (len(below) + len(above))
        out = np.empty((len(mjj), below.features.shape[1]))
        threads(self.config.fit.threads)
        with torch.inference_mode():
            for side, rows, move in ((below, lower, self.model.up), (above, ~lower, self.model.down)):
                start = side[generator.integers(0, len(side), int(rows.sum()))]
                x, step = tensors(start.features, np.abs(mjj[rows] - start.mjj)[:, None])
                out[rows] = move(x, step).double().numpy()
        return self.scaler.inverse(out)


def _halves(events: Events) -> tuple[Events, Events]:
    """Return the lower and the upper half of the events in mass."""
    order = np.argsort(events.mjj, kind="stable")
    return events[order[: len(order) // 2]], events[order[len(order) // 2 :]]
