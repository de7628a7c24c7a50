"""The density of jets: it adds up to one, its ratio is calibrated, and what is drawn tells its own bins and order."""

from __future__ import annotations

import itertools

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError, rng
from hepml_nb.simulate.autoregressive import Grid, JetDensity, Tokens, density

TINY = Grid(pt_low=1.0, pt_high=9.0, pt_bins=2, angle_bins=2, reach=0.5, most=3, cells=16)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny() -> JetDensity:
    torch.manual_seed(5)
    model = JetDensity(TINY, hidden=7, head=5)
    with torch.no_grad():
        for weight in model.parameters():  # far from uniform, and different for the classes
            weight.mul_(2.5)
    return model.eval()


def every_jet(grid: Grid) -> Tokens:
    """Return all jets that there are on a small grid, with pt that never rises."""
    particles = list(itertools.product(range(grid.pt_bins), range(grid.angle_bins), range(grid.angle_bins)))
    found = [
        jet
        for n in range(1, grid.most + 1)
        for jet in itertools.product(particles, repeat=n)
        if all(a[0] <= b[0] for a, b in itertools.pairwise(jet))
    ]
    lengths = np.array([len(jet) for jet in found])
    return Tokens(np.array([particle for jet in found for particle in jet]), lengths)


def test_the_density_adds_up_to_one(tiny: JetDensity) -> None:
    for label in (0, 1):
        total = np.exp(tiny.log_prob(every_jet(TINY), label)).sum()
        assert total == pytest.approx(1, abs=1e-5)


def test_rising_pt_has_probability_zero(tiny: JetDensity) -> None:
    rising = Tokens(np.array([[1, 0, 0], [0, 0, 0]]), np.array([2]))
    assert tiny.log_prob(rising, 0)[0] == -np.inf


def test_jets_are_drawn_as_often_as_the_density_says(tiny: JetDensity) -> None:
    all_jets = every_jet(TINY)
    ends = np.cumsum(all_jets.lengths)
    names = [all_jets.bins[end - n : end].tobytes() for end, n in zip(ends, all_jets.lengths, strict=True)]
    expected = 20_000 * np.exp(tiny.log_prob(all_jets, 1))
    drawn = tiny.sample(20_000, 1, rng(1))
    ends = np.cumsum(drawn.lengths)
    seen: dict[bytes, int] = dict.fromkeys(names, 0)
    for end, n in zip(ends, drawn.lengths, strict=True):
        seen[drawn.bins[end - n : end].tobytes()] += 1  # KeyError: a jet that cannot be
    large = expected > 5
    counts = np.array([seen[name] for name in names])
    chi2 = np.sum((counts - expected)[large] ** 2 / expected[large])
    assert large.sum() > 30
    assert abs(chi2 - large.sum()) < 5 * np.sqrt(2 * large.sum())


def test_the_expectation_of_the_ratio_is_one(tiny: JetDensity) -> None:
    all_jets = every_jet(TINY)
    ratio = np.exp(tiny.log_ratio(all_jets))
    assert np.sum(np.exp(tiny.log_prob(all_jets, 0)) * ratio) == pytest.approx(1, abs=1e-5)
    drawn = np.exp(tiny.log_ratio(tiny.sample(5000, 0, rng(2))))
    assert abs(drawn.mean() - 1) < 4 * drawn.std() / np.sqrt(len(drawn))
    assert np.abs(np.log(ratio)).max() > 0.5  # the classes do differ


def test_the_shipped_ratio_is_calibrated_on_both_sides() -> None:
    """E_qcd[r; r < 1] = P_top(r < 1), and the other way round: bounded, so that the tails of r do not matter."""
    model = density()
    log_ratio = {label: model.log_ratio(model.sample(2000, label, rng(3, label))) for label in (0, 1)}
    for down, up in ((0, 1), (1, 0)):
        sign = 1 if down == 0 else -1
        weight = np.where(sign * log_ratio[down] < 0, np.exp(sign * log_ratio[down]), 0)
        share = sign * log_ratio[up] < 0
        error = np.hypot(weight.std(), share.std()) / np.sqrt(2000)
        assert 0 < share.mean() < 0.2
        assert abs(weight.mean() - share.mean()) < 4 * error


def test_the_shipped_density_is_small_and_knows_jets() -> None:
    model = density()
    assert sum(p.numel() for p in model.parameters()) < 75_000
    qcd, top = (model.sample(300, label, rng(4, label)) for label in (0, 1))
    assert 20 < qcd.lengths.mean() < 31
    assert 31 < top.lengths.mean() < 39
    for label, drawn in ((0, qcd), (1, top)):  # each class believes in its own jets more
        own, other = model.log_prob(drawn, label), model.log_prob(drawn, 1 - label)
        assert np.mean(own - other) > 2


def test_drawing_repeats_by_seed_and_batches_do_not_matter() -> None:
    model = density()
    one, same, other = (model.sample(50, 1, rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.bins, same.bins)
    assert not np.array_equal(one.lengths, other.lengths)
    np.testing.assert_allclose(model.log_prob(one, 0, chunk=7), model.log_prob(one, 0), atol=1e-3)


def test_placed_particles_tell_their_bins_and_their_order() -> None:
    grid = density().grid
    drawn = density().sample(200, 1, rng(7))
    placed = grid.place(drawn, rng(8))
    assert all(column.dtype == np.float32 for column in placed.values())
    owner = np.repeat(np.arange(200), drawn.lengths)
    same_jet = np.diff(owner) == 0
    assert (np.diff(placed["pt"])[same_jet] < 0).all()  # no ties, so that the set tells the sequence
    jets = ak.zip({"constituents": ak.unflatten(ak.zip(placed), drawn.lengths)}, depth_limit=1)
    shuffled = rng(9).permutation(len(owner))
    shuffled = shuffled[np.argsort(owner[shuffled], kind="stable")]
    mixed = ak.unflatten(ak.zip({name: column[shuffled] for name, column in placed.items()}), drawn.lengths)
    for given in (jets, ak.zip({"constituents": mixed}, depth_limit=1)):
        found = grid.tokens(given)
        assert np.array_equal(found.bins, drawn.bins)
        assert np.array_equal(found.lengths, drawn.lengths)


def test_many_particles_in_one_bin_get_cells_of_their_own_and_fill_the_bin() -> None:
    tokens = Tokens(np.zeros((3 * 400, 3), np.int64), np.full(400, 3))
    placed = TINY.place(tokens, rng(1))
    pt = placed["pt"].reshape(400, 3)
    assert (np.diff(pt, axis=1) < 0).all()
    place = np.log(9.0 / pt) / np.log(3)
    assert place.min() > 0
    assert place.max() < 1
    np.testing.assert_allclose(place.mean(axis=0), [0.25, 0.5, 0.75], atol=0.05)  # order statistics of three
    assert abs(placed["deta"].mean() + 0.25) < 0.02


def test_tokens_leave_out_what_is_off_the_grid() -> None:
    parts = ak.Array([[{"pt": 0.5, "deta": 0.0, "dphi": 0.0}, {"pt": 2.0, "deta": 0.1, "dphi": -0.1},
                       {"pt": 20.0, "deta": 0.6, "dphi": 0.0}, {"pt": 50.0, "deta": -0.4, "dphi": 0.4}]])  # fmt: skip
    found = TINY.tokens(ak.zip({"constituents": parts}, depth_limit=1))
    assert found.bins.tolist() == [[0, 0, 1], [1, 1, 0]]
    with pytest.raises(InputError, match="1 of 1 jets have no particle above"):
        TINY.tokens(ak.zip({"constituents": parts[:, :1]}, depth_limit=1))


@pytest.mark.parametrize("wrong", [{"pt_low": -1.0}, {"reach": 0.0}, {"most": 0}, {"cells": 10}])
def test_grids_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Grid(**wrong)  # type: ignore[arg-type]
