"""Taggers of more than two classes: scores (n, classes), otherwise the promises of all; discriminants made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, derive_seed, suggest
from hepml_nb.learn import fit, predict
from hepml_nb.tagging.base import Scores
from hepml_nb.tagging.networks import NetworkTagger

__all__ = ["MultiTagger", "class_labels", "discriminant"]


def class_labels(jets: Any, classes: Sequence[str], *, every: bool = True) -> npt.NDArray[np.int64]:
    """Return jets.label, shape (n,): numbers from 0 that index `classes`.

    Raises InputError for other labels, and, where `every`, when a class is absent.
    """
    if "label" not in jets.fields:
        raise InputError(f"jets lack the column 'label' (0 to {len(classes) - 1}); they have {sorted(jets.fields)}.")
    label = np.asarray(ak.to_numpy(jets.label))
    found = np.unique(label).tolist()
    if not set(found) <= set(range(len(classes))):
        raise InputError(
            f"label has the values {found}, but there are {len(classes)} classes {list(classes)}, numbered from 0; "
            "join or drop classes first, and give their names as `classes`."
        )
    if every and len(found) < len(classes):
        absent = [name for number, name in enumerate(classes) if number not in found]
        raise InputError(f"no jet is of class {absent}; training needs all of {list(classes)}.")
    return label.astype(np.int64)


def discriminant(
    scores: npt.ArrayLike, classes: Sequence[str], signal: str, against: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    """Return ln p(signal) / sum of fraction * p(background), shape (n,), as GN2 defines it (arXiv:2505.19689).

    scores: (n, classes) probabilities; against: {class: its fraction of the background}, scaled to sum to 1.
    Raises InputError for an unknown class, fractions that are not positive, or the signal among the backgrounds.
    """
    p = np.asarray(scores, dtype=np.float64)
    for name in (signal, *against):
        if name not in classes:
            raise InputError(f"there is no class {name!r}{suggest(name, classes)}")
    if not against or signal in against or min(against.values()) <= 0:
        raise InputError(f"against={dict(against)}; expected positive fractions of classes other than {signal!r}.")
    total = sum(against.values())
    below = sum(fraction / total * p[:, list(classes).index(name)] for name, fraction in against.items())
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.log(np.maximum(p[:, list(classes).index(signal)], tiny)) - np.log(np.maximum(below, tiny)))


class MultiTagger(NetworkTagger):
    """A network of as many outputs as its configuration has `classes`; scores are probabilities that sum to 1.

    A subclass may learn other tasks at the same time: `_learning` returns inputs and targets with what they need, and
    `loss` is theirs too.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels and of the columns of the scores."""
        names: tuple[str, ...] = self.config.classes
        return names

    def fit(self, train: Any, val: Any, seed: int = 0, *, untrained: bool = False) -> Self:
        """Learn from the jets `train`, label 0 to classes - 1; `val` serves early stopping only. Return self.

        Raises InputError for missing columns, NaN, empty jets, labels that are no class, or a class without jets.
        """
        for jets in (train, val):
            self.prepare(jets[:1])  # columns first, so that the message names them and not the label
        y, y_val = class_labels(train, self.classes), class_labels(val, self.classes)
        x, targets = self._learning(train, y)
        x_val, val_targets = self._learning(val, y_val)
        return self.fit_inputs(x, targets, x_val, val_targets, seed, untrained=untrained)

    def predictions(self, jets: Any) -> npt.NDArray[np.int64]:
        """Return the most probable class of every jet, shape (n,)."""
        return np.asarray(self.scores(jets).argmax(axis=1))

    @abstractmethod
    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Return the mean loss of a batch (*inputs, targets)."""

    def _learning(self, jets: Any, labels: npt.NDArray[np.int64]) -> tuple[Any, npt.NDArray[Any]]:
        """Return what the training sees of jets: inputs and targets, one row of targets per jet."""
        return self.prepare(jets), labels

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        self._start(x, y, seed)
        c = self.config.fit
        train = self.batches(x, y, batch_size=c.batch_size, seed=derive_seed(seed, self.name, "order"))
        val = self.batches(x_val, y_val, batch_size=self.eval_batch, shuffle=False)
        self.history = fit(self._fitted(), self.loss, train, val, c, seed=seed, desc=self.name)

    def _score(self, x: Any) -> Scores:
        batches = self.batches(x, batch_size=self.eval_batch, shuffle=False)
        logits = predict(self._fitted(), batches, lambda model, batch: model(*batch))
        out = np.empty((len(logits), len(self.classes)))
        order = batches.order() if hasattr(batches, "order") else np.arange(len(logits))
        out[order] = torch.softmax(logits.double(), dim=1).numpy()
        return out
