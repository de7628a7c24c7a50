"""The best that any tagger can do on jets whose density is known, and a tagger's gap to it (arXiv:2411.02628)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from hepml_nb.core import InputError, Result, derive_seed
from hepml_nb.learn import BucketBatches, FitConfig, fit
from hepml_nb.simulate.autoregressive import Grid, JetDensity, density
from hepml_nb.tagging.base import Scores
from hepml_nb.tagging.checks import check_jets, labels_of
from hepml_nb.tagging.networks import new_network
from hepml_nb.tagging.sweeps import measured, size_curve

__all__ = ["Optimum", "gap", "learn_density", "mirrored", "nll", "optimum_gap"]

_FIT = FitConfig(epochs=12, lr=4e-3, batch_size=256, patience=None, clip=5.0)
"""Settings with which the shipped density was trained, on the long profile of the top-tagging twin."""


class Optimum:
    """The likelihood ratio as a tagger: no training, and no other order of the jets has a better ROC curve.

    (Neyman and Pearson: at every signal efficiency the ratio has the largest rejection.) That holds for jets drawn from
    the `density` (None: the shipped one, of the dataset known-optimum); any others are put on its grid first.
    """

    name = "optimum"
    columns = ("constituents",)

    def __init__(self, density_: JetDensity | None = None) -> None:
        self.density = density_ or density()

    def log_ratio(self, jets: Any) -> Scores:
        """Return log p(jet | top) - log p(jet | QCD), shape (n,); raise InputError for jets that a tagger refuses."""
        check_jets(jets, self.columns, method=self.name)
        return self.density.log_ratio(self.density.grid.tokens(jets))

    def scores(self, jets: Any) -> Scores:
        """Return p(top) in a sample of as many tops as QCD jets, shape (n,): the sigmoid of the log ratio."""
        return np.asarray(1 / (1 + np.exp(-self.log_ratio(jets))), dtype=np.float64)


def gap(optimum: Result, tagger: Result) -> Result:
    """Return optimum - tagger of a paired metric (higher is better), with the error of the difference; 0 is perfect.

    optimum, tagger: of `stats.paired` on the same test jets. error: both redrawn together, with the spread between the
    tagger's trainings; a single training tells no spread. Raises InputError for results that are not paired.
    """
    if optimum.pairing is None or optimum.pairing != tagger.pairing or optimum.better != "higher":
        raise InputError(
            f"the results are not paired ({optimum.pairing} and {tagger.pairing}); give both to stats.paired with the "
            "same metric, where higher is better, test labels, seed and n_boot."
        )
    one, two = (np.atleast_2d(np.asarray(result.replicas)) for result in (optimum, tagger))
    variance = float((one.mean(0) - two.mean(0)).var(ddof=1))
    if len(two) > 1:
        variance += float(two.mean(1).var(ddof=1)) / len(two)
    definition = f"optimum minus tagger: {tagger.definition}"
    return Result(optimum.value - tagger.value, float(np.sqrt(variance)), tagger.n, 0.0, None, "lower", definition,
                  seeds=tagger.seeds)  # fmt: skip


def optimum_gap(point: Mapping[str, Any]) -> dict[str, Any]:
    """Train one tagger on jets of the known optimum and return its row (`size_curve`), or the optimum's own.

    point: as for `size_curve`; the method "optimum" is the exact ratio stored beside the jets. Default: the tutorial's
    jets, 100 thousand of them for the test, of the dataset known-optimum.
    """
    from hepml_nb import data

    point = {"dataset": "known-optimum", "profile": "tutorial", **point}
    if point["method"] != Optimum.name:
        return size_curve(point)
    dataset = data.load(str(point["dataset"]), profile=str(point["profile"]))
    jets = dataset.split("test")
    return measured(labels_of(jets), np.asarray(jets.log_ratio, dtype=float)) | {"dataset": dataset.identity}


def learn_density(
    train: Any,
    val: Any,
    config: FitConfig = _FIT,
    *,
    seed: int = 1,
    grid: Grid | None = None,
    checkpoint: str | Path | None = None,
) -> JetDensity:
    """Return a density trained on jets with labels 0 and 1 by maximum likelihood; so were the shipped weights made.

    Jets are mirrored and turned by 90 degrees at random, as their physics does not know directions. Raises InputError
    for jets without a particle on the grid or other labels.
    """
    model = new_network(lambda: JetDensity(grid), seed, "density")
    order = derive_seed(seed, "density", "order")
    sets = [(one, (grid or Grid()).tokens(one)) for one in (train, val)]
    batches = [
        BucketBatches(*tokens, labels_of(jets), batch_size=config.batch_size, seed=order, shuffle=jets is train)
        for jets, tokens in sets
    ]
    fit(model, nll, batches[0], batches[1], config, seed=seed, checkpoint=checkpoint, desc="density")
    return cast(JetDensity, model.requires_grad_(False))


def nll(model: JetDensity, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the mean of -log p(jet | class) over a batch (bins, lengths, labels); in training of mirrored jets."""
    bins, lengths, labels = batch
    if model.training:
        bins = mirrored(bins, lengths, model.grid.angle_bins)
    mean: Tensor = -model(bins, lengths, labels).mean()
    return mean


def mirrored(bins: Tensor, lengths: Tensor, angle_bins: int) -> Tensor:
    """Return bins (sum of lengths, 3) with deta, dphi of each jet reversed and exchanged, each with probability 1/2."""
    flip = torch.repeat_interleave(torch.rand(len(lengths), 3, device=bins.device) < 0.5, lengths, dim=0)
    angles = torch.where(flip[:, :2], angle_bins - 1 - bins[:, 1:], bins[:, 1:])
    angles = torch.where(flip[:, 2:], angles.flip(1), angles)
    return torch.cat([bins[:, :1], angles], dim=1)
