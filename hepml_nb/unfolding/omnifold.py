"""OmniFold on all particles of an event at once, with Particle Flow Networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import DeepSet, FitConfig, RowBatches, SetBatches, Standardise
from hepml_nb.unfolding.network import NetworkRatio
from hepml_nb.unfolding.reweighting import LoopConfig, Ratio, Reweighting
from hepml_nb.unfolding.sample import Measured, Simulation
from hepml_nb.unfolding.sets import Sets, join, take

__all__ = ["OmniFold", "OmniFoldConfig", "SetNetwork"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OmniFoldConfig(LoopConfig):
    """phi, f: widths of the Particle Flow Network before and after the sum. fit: each training."""

    phi: tuple[int, ...] = (100, 100, 256)
    f: tuple[int, ...] = (100, 100, 100)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=500, schedule="constant", patience=10)
    )


class SetNetwork(nn.Module):
    """Particles (sum of lengths, k), standardised, and lengths (n,) -> logits (n,)."""

    def __init__(self, sets: Sets, phi: tuple[int, ...], f: tuple[int, ...]) -> None:
        super().__init__()
        features = sets.values.shape[1]
        self.standardise = Standardise(features).fit(torch.from_numpy(sets.values))
        self.network = DeepSet(features, phi, f)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits."""
        out: Tensor = self.network(self.standardise(x), lengths)[:, 0]
        return out


class _SetRatio(NetworkRatio):
    def __init__(self, sets: Sets, config: OmniFoldConfig) -> None:
        super().__init__(config)
        self.sets = sets

    def build(self, train: Indices) -> nn.Module:
        return SetNetwork(take(self.sets, train), self.config.phi, self.config.f)

    def batches(self, rows: Indices, *weights: Any, seed: int = 0, shuffle: bool = True) -> RowBatches:
        size = self.config.fit.batch_size if shuffle else 1024
        values, lengths = take(self.sets, rows)
        # the last tensor of a batch has a row per event: the weights, or the lengths
        return SetBatches(values, lengths, *weights, batch_size=size, seed=seed, shuffle=shuffle)


class OmniFold(Reweighting):
    """OmniFold (arXiv:1911.09107) on the particles, with its Particle Flow Networks (arXiv:1810.05165).

    The simulation needs `gen_sets` and `sim_sets`, the measured sample `sets`. Observables stay what one looks at.
    """

    name = "omnifold"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": OmniFoldConfig(),
        "small": OmniFoldConfig(
            iterations=2,
            phi=(48, 32),
            f=(48,),
            fit=FitConfig(epochs=8, lr=5e-3, batch_size=256, patience=None, threads=1),
        ),
    }

    def _ratio(self, simulation: Simulation, measured: Measured) -> tuple[Ratio, Ratio]:
        given = {"gen_sets": simulation.gen_sets, "sim_sets": simulation.sim_sets, "sets": measured.sets}
        if len(measured.background):
            given["background_sets"] = measured.background_sets
        if missing := [name for name, sets in given.items() if sets is None]:
            raise InputError(
                f"omnifold unfolds the particles, and {', '.join(missing)} are not given; add them to Simulation "
                "and Measured, or use multifold on the observables."
            )
        before = take(given.pop("gen_sets"), simulation.pass_gen)
        seen = take(given.pop("sim_sets"), simulation.pass_sim)
        widths = {name: sets.values.shape[1] for name, sets in {"sim_sets": seen, **given}.items()}
        if len(set(widths.values())) > 1:
            raise InputError(f"particles have unequal numbers of features ({widths}); give all the same columns.")
        return _SetRatio(join(seen, *given.values()), self.config), _SetRatio(before, self.config)
