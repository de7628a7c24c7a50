"""The known optimum as a tagger: equal to the stored ratio, blind to order, calibrated, and beaten by nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb import stats
from hepml_nb.core import InputError, rng
from hepml_nb.learn import FitConfig
from hepml_nb.simulate import recipe
from hepml_nb.simulate.autoregressive import Grid, JetDensity
from hepml_nb.tagging import make
from hepml_nb.tagging.known_optimum import Optimum, gap, learn_density, mirrored, nll
from hepml_nb.testing import toy_jets

SMALL = Grid(pt_low=2.0, pt_high=700.0, pt_bins=8, angle_bins=10, reach=1.6, most=8, cells=64)


@pytest.fixture(scope="module")
def jets() -> Any:
    found = ak.concatenate([recipe("autoregressive_jets")(600, seed=6, label=label)[0] for label in (0, 1)])
    return found[rng(0, "mix").permutation(len(found))]


@pytest.fixture(scope="module")
def labels(jets: Any) -> np.ndarray:
    return ak.to_numpy(jets.label)


def test_scores_are_the_stored_ratio_as_a_probability(jets: Any) -> None:
    optimum = Optimum()
    stored = ak.to_numpy(jets.log_ratio).astype(float)
    np.testing.assert_allclose(optimum.log_ratio(jets), stored, atol=2e-3)
    np.testing.assert_allclose(optimum.scores(jets), 1 / (1 + np.exp(-stored)), atol=1e-3)


def test_the_order_of_the_constituents_does_not_matter(jets: Any) -> None:
    some = jets[:100]
    counts = ak.num(some.constituents)
    key = ak.unflatten(rng(0, "order").random(ak.sum(counts)), counts)
    shuffled = ak.with_field(some, some.constituents[ak.argsort(key)], "constituents")
    np.testing.assert_allclose(Optimum().log_ratio(shuffled), Optimum().log_ratio(some), atol=1e-4)


def test_the_probability_is_calibrated_in_a_sample_of_equal_shares(jets: Any, labels: np.ndarray) -> None:
    error = stats.ece(labels, Optimum().scores(jets))
    assert abs(error.value - error.floor) < 4 * error.error


def test_trees_do_not_beat_the_optimum(jets: Any, labels: np.ndarray) -> None:
    train, test = slice(0, 700), slice(700, None)
    trees = make("trees").fit(jets[train], jets[:300], seed=1).scores(jets[test])
    best, other = (
        stats.paired("auc", labels[test], scores, deterministic=True, n_boot=100)
        for scores in (Optimum().scores(jets[test]), trees)
    )
    found = gap(best, other)
    assert found.value == pytest.approx(best.value - other.value)
    assert found.value > 2 * found.error
    assert (found.better, found.floor) == ("lower", 0)
    assert stats.claim("the optimum beats trees", best, other).outcome == "holds"


def test_a_gap_has_the_error_of_the_difference(labels: np.ndarray) -> None:
    rng_ = np.random.default_rng(1)
    base = rng_.normal(2 * labels, 1)
    scores = [base + rng_.normal(0, 0.4, len(base)) for _ in range(3)]
    best = stats.paired("auc", labels, base, deterministic=True, n_boot=100)
    other = stats.paired("auc", labels, scores, n_boot=100)
    found, by_claim = gap(best, other), stats.claim("better", best, other)
    assert (found.value, found.error) == pytest.approx((by_claim.difference, by_claim.error))
    assert found.error < np.hypot(best.error, other.error)  # the luck with the test jets is shared
    with pytest.raises(InputError, match="not paired"):
        gap(best, stats.paired("auc", labels, base, n_boot=50))


def test_a_density_learns_by_maximum_likelihood_and_repeats_by_seed(tmp_path: Path) -> None:
    train, val = toy_jets(1500, seed=1), toy_jets(400, seed=2)
    config = FitConfig(epochs=5, lr=1e-2, batch_size=64)
    one, same = (learn_density(train, val, config, seed=seed, grid=SMALL) for seed in (3, 3))
    torch.manual_seed(0)
    untrained = JetDensity(SMALL).eval()
    tokens, y = SMALL.tokens(val), ak.to_numpy(val.label)
    learnt, before = (
        np.where(y == 1, model.log_prob(tokens, 1), model.log_prob(tokens, 0)).mean() for model in (one, untrained)
    )
    assert learnt > before + 5
    assert stats.auc(y, one.log_ratio(tokens)).value > 0.85
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


def test_mirrored_jets_keep_pt_and_distances() -> None:
    lengths = torch.tensor([3, 2])
    bins = torch.tensor([[0, 1, 2], [1, 4, 0], [5, 3, 3], [2, 0, 4], [2, 2, 1]])
    torch.manual_seed(1)
    seen = set()
    for _ in range(60):
        turned = mirrored(bins, lengths, 5)
        assert torch.equal(turned[:, 0], bins[:, 0])
        for some in (slice(0, 3), slice(3, 5)):
            assert torch.equal(
                torch.pdist(turned[some, 1:].float()).sort()[0], torch.pdist(bins[some, 1:].float()).sort()[0]
            )
        seen.add(tuple(turned[:3, 1:].flatten().tolist()))
    assert len(seen) == 8


def test_the_loss_is_the_mean_log_probability(jets: Any) -> None:
    model = Optimum().density
    tokens = model.grid.tokens(jets[:50])
    labels = torch.from_numpy(ak.to_numpy(jets.label[:50])).float()
    loss = nll(model, (torch.from_numpy(tokens.bins), torch.from_numpy(tokens.lengths), labels))
    by_hand = np.where(labels == 1, model.log_prob(tokens, 1), model.log_prob(tokens, 0)).mean()
    assert float(loss) == pytest.approx(-by_hand, rel=1e-5)


def test_what_a_tagger_refuses_is_refused(jets: Any) -> None:
    with pytest.raises(InputError, match="lack the column"):
        Optimum().scores(jets[["label", "pt"]])
    soft = ak.with_field(jets[:5], jets.constituents[:5][jets.constituents.pt[:5] < 0], "constituents")
    with pytest.raises(InputError, match="no constituents"):
        Optimum().scores(soft)
