"""Generators of showers that are trained against critics, on fractions."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from hepml_nb.calo.adversarial import Duel, alternate
from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.fractions import Fractions, RootScale
from hepml_nb.calo.sample import Showers
from hepml_nb.calo.training import epochs_of
from hepml_nb.core import derive_seed
from hepml_nb.learn import History, RowBatches

__all__ = ["AdversarialModel"]


class AdversarialModel(ShowerModel):
    """A generator of `Fractions` whose critics see `RootScale`; a subclass makes networks and writes both losses."""

    history: History

    @abstractmethod
    def critic_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what the critics lose on a batch."""

    @abstractmethod
    def maker_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what the makers lose on a batch."""

    def rows(self, showers: Showers) -> tuple[Tensor, Tensor]:
        """Return fractions (n, voxels + layers + 1) of showers, and their energies as context (n, 1)."""
        return self._map.rows(showers), self._map.context(showers.energies)

    def _begin(self, train: Showers, seed: int) -> tuple[Tensor, Tensor]:
        """Measure the coordinates, seed the weights of networks that are made next, and return `rows`."""
        self._map = Fractions(train)
        rows, context = self.rows(train)
        torch.manual_seed(derive_seed(seed, "init"))
        self.scale = RootScale(rows.shape[1], len(train.geometry.layers)).fit(rows)
        return rows, context

    def _duel(
        self, rows: tuple[Tensor, Tensor], critics: nn.Module, makers: nn.Module, seed: int, untrained: bool,
        critic_steps: int, betas: tuple[float, float] = (0.0, 0.9),
    ) -> None:  # fmt: skip
        """Train critics and makers in turn on `rows`."""
        fit = epochs_of(self.config.fit, untrained)
        batches = RowBatches(*rows, batch_size=fit.batch_size, seed=derive_seed(seed, "order"))
        duel = Duel(self.critic_loss, self.maker_loss, critics, makers, critic_steps, self.config.average, betas)
        self.history = alternate(duel, batches, fit, derive_seed(seed, "fit"))
