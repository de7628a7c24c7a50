"""A conditional invertible network learns p(gen | sim) by maximum likelihood (arXiv:2006.06685)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hepml_nb.learn import ConditionalFlow, FitConfig
from hepml_nb.learn.flows import FlowKind
from hepml_nb.unfolding.generative import GenerativeConfig, GenerativeUnfolder

__all__ = ["CINN", "CINNConfig"]


@dataclass(frozen=True)
class CINNConfig(GenerativeConfig):
    """transforms: spline blocks; spline_bins: of each spline; kind: "coupling", as published, or "autoregressive"."""

    hidden: tuple[int, ...] = (256, 256)
    transforms: int = 12
    spline_bins: int = 16
    kind: FlowKind = "coupling"


class CINN(GenerativeUnfolder):
    """The cINN: gen is mapped to normal numbers by invertible coupling blocks that see the measured event.

    It is trained with the exact likelihood, -log p(gen | sim), and draws by sending normal numbers back. The paper's
    blocks are cubic splines on parton momenta, with a trained network before the condition; here they are
    rational-quadratic splines (arXiv:1906.04032), as in its successors (arXiv:2404.18807), and the condition is the
    measured observables. iterations > 1 is the iterative cINN, arXiv:2212.08674.
    """

    name = "cinn"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CINNConfig(),
        # no patience: at the peak of the one-cycle rate the validation loss jumps, and training would end right there
        "small": CINNConfig(
            draws=4,
            hidden=(64, 64),
            transforms=4,
            spline_bins=8,
            fit=FitConfig(epochs=20, lr=1e-3, batch_size=256, patience=None),
        ),
    }

    def _network(self, features: int, context: int) -> ConditionalFlow:
        c = self.config
        return ConditionalFlow(
            features, context, kind=c.kind, transforms=c.transforms, hidden=c.hidden, bins=c.spline_bins
        )

    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        drawn: Tensor = model.sample(context)
        return drawn
