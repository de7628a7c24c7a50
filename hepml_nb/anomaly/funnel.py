"""Outliers by a density that loses dimensions on its way, and is exact all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.core import InputError
from hepml_nb.learn import ConditionalFlow, FitConfig, Standardise
from hepml_nb.learn.flows import FlowKind

__all__ = ["Funnel", "FunnelConfig", "FunnelNetwork"]


@dataclass(frozen=True)
class FunnelConfig:
    """kept: dimensions of the latent space, fewer than features. kind, transforms, hidden, bins: of both flows.

    fit: the training.
    """

    kept: int = 2
    kind: FlowKind = "autoregressive"
    transforms: int = 4
    hidden: tuple[int, ...] = (128, 128)
    bins: int = 8
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=512, schedule="cosine", patience=None)
    )


class FunnelNetwork(OutlierNetwork):
    """One funnel: z = f(a; b) of features x = (a, b), invertible in a, normal; and the density of b given z.

    log p(x) = log N(z) + log |dz / da| + log p(b | z), because (a, b) -> (z, b) is a change of variables.
    """

    def __init__(self, features: int, config: FunnelConfig) -> None:
        super().__init__()
        if not 1 <= config.kept < features:
            raise InputError(
                f"a funnel with kept={config.kept!r} for {features} features; expected 1 to {features - 1}."
            )
        self.kept, self.scale = config.kept, Standardise(features)
        lost = features - config.kept
        settings: Any = {"kind": config.kind, "transforms": config.transforms, "hidden": config.hidden}
        self.keep = ConditionalFlow(config.kept, lost, bins=config.bins, **settings)
        self.lose = ConditionalFlow(lost, config.kept, bins=config.bins, **settings)

    def prepare(self, *batch: Tensor) -> None:
        """Measure means and deviations of the features."""
        self.scale.fit(batch[0])

    def latent(self, x: Tensor) -> Tensor:
        """Return z (n, kept) of features (n, d)."""
        y = self.scale(x)
        return self.keep.encode(y[:, : self.kept], y[:, self.kept :])[0]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) of features (n, d) in their own units, natural logarithm, (n,)."""
        y = self.scale(x)
        a, b = y[:, : self.kept], y[:, self.kept :]
        z, log_slope = self.keep.encode(a, b)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        return normal + log_slope + self.lose.log_prob(b, z) - self.scale.scale.log().sum()

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean of -log p."""
        return self.unusual(*batch).mean()

    def unusual(self, *batch: Tensor) -> Tensor:
        """Return -log p of each event (n,)."""
        return -self.log_prob(batch[0])


class Funnel(NetworkOutlier):
    """-log p(x) of a funnel (arXiv:2112.08069): a flow into fewer dimensions whose likelihood is exact.

    An autoencoder's bottleneck with the density of what it drops, by maximum likelihood: no event is overlooked for
    being simple. The features that come first are kept, transformed given the others; these are then a density given
    what is left. One funnel of features here; the paper stacks them, with convolutions, for images. "small": smaller
    flows, larger steps.
    """

    name = "funnel"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": FunnelConfig(),
        "small": FunnelConfig(
            transforms=2, hidden=(32, 32), fit=FitConfig(epochs=10, lr=5e-3, batch_size=512, patience=None, threads=1)
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return FunnelNetwork(features, self.config)
