"""Conditional flow matching from noise to gen, given the measured event (arXiv:2404.18807)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hepml_nb.learn import FitConfig, FlowMatching
from hepml_nb.learn.flow_matching import OdeMethod
from hepml_nb.unfolding.generative import GenerativeConfig, GenerativeUnfolder

__all__ = ["CFM", "CFMConfig"]


@dataclass(frozen=True)
class CFMConfig(GenerativeConfig):
    """steps, method: how the velocity is integrated, see `learn.integrate`; frequencies: of the time's sines."""

    steps: int = 40
    method: OdeMethod = "midpoint"
    frequencies: int = 4


class CFM(GenerativeUnfolder):
    """Conditional flow matching (arXiv:2210.02747), the "CFM" of the landscape of unfolding (arXiv:2404.18807).

    A velocity network, told the measured event, is regressed on the straight lines from noise to gen; noise that flows
    along it ends as a draw of p(gen | sim). Where the paper also trains transformers and Bayesian networks, this is
    its dense network.
    """

    name = "cfm"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CFMConfig(),
        "small": CFMConfig(
            draws=4, hidden=(64, 64, 64), steps=10, fit=FitConfig(epochs=40, lr=3e-3, batch_size=256, patience=None)
        ),
    }

    def _network(self, features: int, context: int) -> FlowMatching:
        return FlowMatching(features, context, hidden=self.config.hidden, frequencies=self.config.frequencies)

    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        drawn: Tensor = model.sample(context, steps=self.config.steps, method=self.config.method)
        return drawn
