"""Can a classifier tell made showers from true ones? The CaloChallenge's and stronger ones; controls of their power."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.calo.features import features
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, Result, derive_seed, rng, suggest
from hepml_nb.learn import FitConfig, RowBatches, Standardise, fit, predict
from hepml_nb.stats import auc as area

__all__ = ["JUDGES", "Level", "NetworkJudge", "TreesJudge", "auc", "columns", "controls"]

Level = Literal["high", "low", "full"]

_FEWEST = 100
_MM = 100.0  # what the challenge divides centres and widths by
_SHARES = (0.6, 0.8)  # ends of training and validation in a class: 60, 20 and 20 %

Part = tuple[Floats, Floats]  # inputs (n, k) and labels (n,), 1 for made showers


@dataclass(frozen=True)
class NetworkJudge:
    """hidden: widths of the network. standardise: inputs first; the challenge does not. fit: its training.

    The weights of the best validation loss are kept (the challenge keeps those of the best accuracy).
    """

    hidden: tuple[int, ...] = (512, 512)
    standardise: bool = False
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=2e-4, batch_size=1000, schedule="constant", patience=None)
    )

    def scores(self, train: Part, val: Part, test: Floats, seed: int) -> Floats:
        """Return the scores (n,) of test showers after training; higher where they look made."""
        seen, held = (
            RowBatches(*map(torch.from_numpy, part), batch_size=self.fit.batch_size, seed=seed) for part in (train, val)
        )
        torch.manual_seed(derive_seed(seed, "init"))
        network = _Network(test.shape[1], self)
        if self.standardise:
            network.scale.fit(torch.from_numpy(train[0]))
        fit(network, _loss, seen, held, self.fit, seed=seed, desc="judge")
        rows = RowBatches(torch.from_numpy(test), batch_size=4000, shuffle=False)
        return predict(network, rows, lambda model, batch: model(batch[0])).numpy()


@dataclass(frozen=True)
class TreesJudge:
    """Boosted trees of scikit-learn: rounds at most, stopped early on the validation showers, and leaves of each."""

    rounds: int = 300
    leaves: int = 15
    lr: float = 0.1

    def scores(self, train: Part, val: Part, test: Floats, seed: int) -> Floats:
        """Return the scores (n,) of test showers after training; higher where they look made."""
        from sklearn.ensemble import HistGradientBoostingClassifier  # imported here: it takes over a second

        model = HistGradientBoostingClassifier(
            max_iter=self.rounds, max_leaf_nodes=self.leaves, learning_rate=self.lr, early_stopping=True,
            random_state=derive_seed(seed, "trees"),
        )  # fmt: skip
        return np.asarray(model.fit(*train, X_val=val[0], y_val=val[1]).predict_proba(test)[:, 1])


JUDGES: Mapping[str, NetworkJudge | TreesJudge] = {
    "paper": NetworkJudge(),
    "small": NetworkJudge(
        hidden=(256, 256),
        standardise=True,
        fit=FitConfig(epochs=40, lr=2e-3, batch_size=500, patience=10, warmup=0.2),
    ),
    "trees": TreesJudge(),
}


def columns(showers: Showers, level: Level = "high") -> Floats:
    """Return what the challenge's classifiers see, (n, k), by arXiv:2410.21611.

    "high": log10 of the incident energy (MeV) and of the energy of each layer (+1e-8), and of layers with bins in
    alpha centre and width in x and y, over 100 mm. "low": log10 of the incident energy, and each voxel's energy over
    it. "full" is not of the challenge: log10 of the incident energy and all of `features`, with the response, radii
    and shares of voxels hit. Raises InputError for another level.
    """
    if level not in get_args(Level):
        raise InputError(f"level={level!r} is unknown{suggest(str(level), get_args(Level))}")
    energy = np.log10(showers.energies)[:, None]
    if level == "low":
        return np.hstack([energy, showers.deposits / showers.energies[:, None]]).astype(np.float32)
    found = features(showers)
    if level == "full":
        return np.hstack([energy, found.values]).astype(np.float32)
    moments = [name for name in found.names if name.startswith(("centre_x", "centre_y", "width_x", "width_y"))]
    layers = np.log10(showers.layers + 1e-8)
    return np.hstack([energy, layers, *(found[name][:, None] / _MM for name in moments)]).astype(np.float32)


def auc(
    truth: Showers,
    made: Showers,
    level: Level = "high",
    judge: NetworkJudge | TreesJudge | str = "small",
    *,
    trainings: int = 1,
    seed: int = 0,
    baseline: float | None = None,
) -> Result:
    """Return the area under the ROC curve of a classifier of made and true showers: 0.5 where it cannot tell them.

    Both are cut to the same number; 60 % of each train, 20 % choose the epoch, 20 % are the test. "paper" is the
    challenge's network: two hidden layers of 512, no dropout, Adam with lr 2e-4, batches of 1000, 50 epochs, inputs as
    they are. With less than its 120,000 showers it is trained too little: of 30,000 photons scaled by 3 % it sees 0.51.
    "small" (standardised inputs, one cycle up to 2e-3, at most 40 epochs, stopped after 10 without gain) sees 0.70 in a
    fifth of the time, "trees" 0.71, and 0.81 with level "full". See `controls`.

    The value is the mean of `trainings`, each with its own split; error: DeLong's of one test, in quadrature with the
    trainings' standard error. Values below 0.5 are chance. Raises InputError for fewer than 100 showers of each, or
    different geometries.
    """
    chosen = JUDGES.get(judge) if isinstance(judge, str) else judge
    if chosen is None:
        raise InputError(f"judge={judge!r} is unknown{suggest(str(judge), list(JUDGES))}")
    if truth.geometry.name != made.geometry.name:
        raise InputError(f"showers in {truth.geometry.name} and {made.geometry.name} cannot be compared.")
    n = min(len(truth), len(made))
    if n < _FEWEST or trainings < 1:
        raise InputError(f"{n} showers of each kind, {trainings} trainings; expected at least {_FEWEST} and 1.")
    a, b = columns(truth, level), columns(made, level)
    found = [_train(a, b, n, chosen, derive_seed(seed, "judge", level, i)) for i in range(trainings)]
    values = np.array([one.value for one in found])
    scatter = values.std(ddof=1) / np.sqrt(trainings) if trainings > 1 else 0.0
    name = judge if isinstance(judge, str) else type(judge).__name__
    ends = [round(share * n) for share in _SHARES]
    sizes = f"{ends[0]}/{ends[1] - ends[0]}/{n - ends[1]} of each"
    return Result(
        float(values.mean()), float(np.hypot(found[0].error, scatter)), n - ends[1], floor=0.5, baseline=baseline,
        better="lower", seeds=trainings, definition=f"{level}-level classifier AUC, {name}, {sizes}",
    )  # fmt: skip


def _train(truth: Floats, made: Floats, n: int, judge: NetworkJudge | TreesJudge, seed: int) -> Result:
    """Return the AUC of one training on one split."""
    generator = rng(seed, "split")
    orders = [generator.permutation(len(one))[:n] for one in (truth, made)]
    ends = [0, *(round(share * n) for share in _SHARES), n]
    parts = []
    for begin, end in itertools.pairwise(ends):
        x = np.concatenate([one[order[begin:end]] for one, order in zip((truth, made), orders, strict=True)])
        parts.append((x, np.repeat([0, 1], end - begin).astype(np.float32)))
    return area(parts[2][1], judge.scores(parts[0], parts[1], parts[2][0], seed))


class _Network(nn.Module):
    """The challenge's network: linear layers with leaky ReLU between them, one logit."""

    def __init__(self, width: int, config: NetworkJudge) -> None:
        super().__init__()
        self.scale = Standardise(width)
        layers: list[nn.Module] = []
        for n_in, n_out in zip((width, *config.hidden[:-1]), config.hidden, strict=True):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(config.hidden[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.layers(self.scale(x))[:, 0]
        return logit


def _loss(model: Any, batch: Any) -> Tensor:
    x, y = batch
    return nn.functional.binary_cross_entropy_with_logits(model(x), y)


def controls(truth: Showers, factor: float = 1.03, swap: tuple[int, int] | None = None) -> dict[str, Showers]:
    """Return true showers that are wrong in known ways, which a classifier of some power must tell from the truth.

    "scaled": every voxel times `factor`. "swapped": two layers exchanged, by index; None takes the two of equal bins
    that hold the most energy. Raises InputError for layers of different bins.
    """
    geometry = truth.geometry
    bins = [(layer.n_alpha, layer.n_r) for layer in geometry.layers]
    energy = truth.layers.mean(axis=0)
    if swap is None:
        pairs = [(i, j) for i in range(len(bins)) for j in range(i) if bins[i] == bins[j]]
        if not pairs:
            raise InputError(f"{geometry.name} has no two layers of equal bins to exchange.")
        swap = max(pairs, key=lambda pair: min(energy[pair[0]], energy[pair[1]]))
    one, two = (slice(geometry.offsets[i], geometry.offsets[i + 1]) for i in swap)
    if bins[swap[0]] != bins[swap[1]]:
        raise InputError(
            f"layers {swap} have bins {[bins[i] for i in swap]}; only layers of equal bins can change places."
        )
    exchanged = truth.deposits.copy()
    exchanged[:, one], exchanged[:, two] = truth.deposits[:, two], truth.deposits[:, one]
    scaled = truth.deposits * np.float32(factor)
    return {
        "scaled": Showers(truth.energies, scaled, geometry),
        "swapped": Showers(truth.energies, exchanged, geometry),
    }
