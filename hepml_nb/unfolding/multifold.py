"""UniFold and MultiFold: OmniFold on one observable, and on several, learnt by boosted trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hepml_nb.core import InputError
from hepml_nb.unfolding.reweighting import Ratio, Reweighting, rows_of
from hepml_nb.unfolding.sample import Measured, Simulation, place
from hepml_nb.unfolding.trees import TreeRatio, TreesConfig

__all__ = ["MultiFold", "UniFold", "UniFoldConfig"]


class MultiFold(Reweighting):
    """OmniFold (arXiv:1911.09107) on all observables of the simulation at once.

    Boosted trees take the place of the paper's network, as in arXiv:2503.09720, and weights are cross-fitted.
    """

    name = "multifold"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": TreesConfig(),
        "small": TreesConfig(iterations=3, trees=50, learning_rate=0.2, leaves=10, min_leaf=100),
    }

    def _ratio(self, simulation: Simulation, measured: Measured) -> tuple[Ratio, Ratio]:
        after, before = rows_of(simulation, measured)
        return TreeRatio(after, self.config), TreeRatio(before, self.config)


@dataclass(frozen=True)
class UniFoldConfig(TreesConfig):
    """observable: name or column, before the detector and after it."""

    observable: str | int = 0


class UniFold(Reweighting):
    """OmniFold (arXiv:1911.09107) on one observable: iterative Bayesian unfolding without bins.

    The unfolded events hold all observables, but only the one that was unfolded, and what depends on it, is corrected.
    """

    name = "unifold"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": UniFoldConfig(),
        "small": UniFoldConfig(iterations=3, trees=40, learning_rate=0.2, leaves=15),
    }

    def _ratio(self, simulation: Simulation, measured: Measured) -> tuple[Ratio, Ratio]:
        after, before = rows_of(simulation, measured)
        column = place(self.config.observable, simulation.names)
        if isinstance(self.config.observable, str):
            seen = place(self.config.observable, simulation.sim_names)
        elif column < after.shape[1]:
            seen = column
        else:
            raise InputError(f"observable={column}: after the detector there are {after.shape[1]} columns only.")
        return TreeRatio(after[:, [seen]], self.config), TreeRatio(before[:, [column]], self.config)
