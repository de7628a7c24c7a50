"""Bridges by flow matching: the measured event itself flows to gen (arXiv:2311.17175, arXiv:2411.02495)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, FlowMatching, integrate
from hepml_nb.learn.flow_matching import OdeMethod, validation_noise
from hepml_nb.unfolding.generative import BridgeUnfolder, GenerativeConfig

__all__ = ["ConditionalDiDi", "DiDi", "DiDiConfig"]


@dataclass(frozen=True)
class DiDiConfig(GenerativeConfig):
    """conditional: the network is told where the path began. noise: spread, in standard deviations of the measured
    observable, that is added to the start; a conditional bridge needs some. steps, method: see `learn.integrate`."""

    conditional: bool = False
    noise: float = 0.0
    steps: int = 40
    method: OdeMethod = "midpoint"
    frequencies: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise < 0 or (self.conditional and self.noise == 0):
            raise InputError(
                f"noise={self.noise!r}; a conditional bridge needs noise above 0, or its path from a measured event "
                "would end at one point instead of a posterior."
            )


class _Bridge(FlowMatching):
    """Flow matching from the measured event, with noise, told of that event or not."""

    def __init__(self, config: DiDiConfig, features: int, context: int) -> None:
        self.told = context if config.conditional else 0
        super().__init__(features, self.told, hidden=config.hidden, frequencies=config.frequencies)
        self.noise = config.noise

    def standardise(self, x: Tensor, context: Tensor | None = None) -> _Bridge:
        """Measure scales; without a condition there is no context to measure."""
        super().standardise(x, context if self.told else None)
        return self

    def loss(
        self, x: Tensor, context: Tensor | None = None, weights: Tensor | None = None, source: Tensor | None = None
    ) -> Tensor:
        """Return the loss of flow matching from the pair's own source."""
        return super().loss(x, context if self.told else None, weights, self.start(source, validate=True))

    def start(self, source: Tensor | None, validate: bool = False) -> Tensor | None:
        """Return the source with its noise; validate: the same noise whenever the model does not train."""
        if source is None or self.noise == 0:
            return source
        given = validation_noise(self, source, stream=1) if validate else None
        noise = torch.randn(source.shape, generator=given, dtype=source.dtype, device=source.device)
        return source + self.noise * noise


class DiDi(BridgeUnfolder):
    """Direct Diffusion (arXiv:2311.17175): flow matching with the paired sim in the place of noise, and no condition.

    The velocity at a point is the mean over all pairs that pass there, so the flow carries the distribution of sim
    into that of gen, but an event along one smooth path: the same sim always ends at the same gen. That is a map of
    distributions, near to optimal transport, and not a posterior; coverage and widths per event mean nothing.
    """

    name = "didi"
    posterior_draws: ClassVar[bool] = False
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": DiDiConfig(draws=1),
        "small": DiDiConfig(
            draws=1, hidden=(64, 64, 64), steps=10, fit=FitConfig(epochs=30, lr=3e-3, batch_size=256, patience=None)
        ),
    }

    def _network(self, features: int, context: int) -> _Bridge:
        return _Bridge(self.config, features, context)

    def _path(self, model: Any, context: Tensor, source: Tensor) -> list[Tensor]:
        told = context if self.config.conditional else None
        start = model.x_scale(model.start(source))
        steps, method = self.config.steps, self.config.method
        path = integrate(lambda x, t: model.velocity(x, t, told), start, steps=steps, method=method)
        return [x * model.x_scale.scale + model.x_scale.mean for x in path]


class ConditionalDiDi(DiDi):
    """A conditional bridge in the sense of arXiv:2411.02495 (S0/64): told where it began, it keeps p(gen | sim).

    Here the start is the measured event with normal noise around it, so that one event has many paths; given the event,
    flow matching from that density to gen is exact as it is from pure noise, with a shorter way to go.
    """

    name = "conditional-didi"
    posterior_draws: ClassVar[bool] = True
    configs: ClassVar[Mapping[str, Any]] = {
        key: replace(config, draws=10 if key == "paper" else 4, conditional=True, noise=0.5)
        for key, config in DiDi.configs.items()
    }
