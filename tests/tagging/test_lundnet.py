"""LundNet is the published network, looks along the tree only, and does not beat the exact likelihood of the toy."""

import dataclasses

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError, rng
from hepml_nb.learn import n_parameters
from hepml_nb.simulate.collinear import Shower, collinear_jets
from hepml_nb.stats import paired
from hepml_nb.tagging import make
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.lund import LundTrees, lund_trees, primary
from hepml_nb.tagging.lund_likelihood import counting, log_ratio
from hepml_nb.tagging.lundnet import LundConv, LundNet, LundNetConfig, LundNetNetwork, edges, lund_inputs
from hepml_nb.testing import toy_jets

JETS = toy_jets(60, seed=4)
TREES = lund_trees(JETS)
SHOWER = Shower(pt=2000.0)


def test_the_published_network_has_its_layers():
    # counted by hand from the authors' channels: theta, phi, second layer, two norms, shortcut where widths differ
    def block(a: int, b: int) -> int:
        return 2 * a * b + b * b + 4 * b + (a * b + 2 * b if a != b else 0)

    widths = [(5, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    head = 448 * 384 + 384 + 2 * 384 + 384 * 256 + 256 + 2 * 256 + 2
    network = LundNetNetwork(LundNetConfig(), outputs=2)
    assert n_parameters(network) == 10 + sum(block(a, b) for a, b in widths) + head == 391_724
    three = LundNetNetwork(LundNetConfig(features=("ln_kt", "ln_delta", "ln_z")), outputs=2)
    assert n_parameters(network) - n_parameters(three) == 2 * 2 + 2 * 3 * 32


def test_edges_are_those_of_the_tree_in_both_directions():
    parent = torch.tensor([-1.0, 0.0, 0.0, -1.0, 0.0])
    source, target, share = edges(parent, torch.tensor([3, 2]))
    assert {*zip(source.tolist(), target.tolist(), strict=True)} == {
        (1, 0), (2, 0), (4, 3), (0, 1), (0, 2), (3, 4)
    }  # fmt: skip
    assert dict(zip(target.tolist(), share.tolist(), strict=True)) == {0: 0.5, 3: 1.0, 1: 1.0, 2: 1.0, 4: 1.0}


def test_a_block_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    conv = LundConv(5, 8).eval()
    x, parent, lengths = torch.randn(5, 5), torch.tensor([-1.0, 0.0, 0.0, -1.0, 0.0]), torch.tensor([3, 2])
    source, target, share = edges(parent, lengths)
    got = conv(x, source, target, share)
    for i in range(5):
        said = []
        for j in source[target == i]:
            one = conv.theta((x[j] - x[i])[None]) + conv.phi(x[i][None])
            said.append(torch.relu(conv.norm2(conv.second(torch.relu(conv.norm1(one))))))
        want = torch.relu(conv.shortcut(x[i][None]) + torch.stack(said).mean(0))
        torch.testing.assert_close(got[i], want[0])


def test_what_lies_far_along_the_tree_is_heard_after_as_many_blocks():
    inputs = lund_inputs(TREES.take(np.arange(1)), LundNetConfig())
    values, lengths = torch.from_numpy(inputs.values), torch.from_numpy(inputs.lengths)
    source, target, share = edges(values[:, -1], lengths)
    conv = LundConv(5, 5).eval()
    changed = values[:, :-1].clone()
    changed[-1] += 1
    before, after = (conv(x, source, target, share) for x in (values[:, :-1], changed))
    moved = set(torch.nonzero(((before - after).abs() > 1e-5).any(1))[:, 0].tolist())
    assert moved <= {len(values) - 1, *source[target == len(values) - 1].tolist()}


def test_variants_see_the_primary_plane_or_what_lies_above_a_cut():
    on = lund_inputs(TREES, LundNetConfig(primary=True))
    assert len(on.values) == primary(TREES).sum()
    assert (on.values[:, -1] == np.concatenate([np.arange(n) - 1 for n in on.lengths])).all()
    assert (lund_inputs(TREES, LundNetConfig(kt_cut=2.0)).values[:, 0] > np.log(2)).all()
    with pytest.raises(InputError, match="pool='max' is unknown"):
        LundNetConfig(pool="max")
    with pytest.raises(InputError, match=r"'kt' is unknown.*ln_kt"):
        LundNetConfig(features=("kt",))


def test_jets_without_declusterings_share_a_batch_with_others():
    tagger = make("lundnet", epochs=1).fit(toy_jets(200, seed=1), toy_jets(50, seed=2))
    parts = JETS.constituents
    few = ak.with_field(JETS, ak.where(np.arange(60) % 2 == 0, parts, parts[:, :1]), "constituents")
    scores = tagger.scores(few)
    np.testing.assert_allclose(scores[::2], tagger.scores(JETS)[::2], rtol=1e-4)
    assert np.ptp(scores[1::2]) < 1e-6


def toy(n: int, seed: int) -> tuple[LundTrees, Particles, np.ndarray]:
    pair = [LundTrees(**collinear_jets(n, flavour, seed, SHOWER)) for flavour in (0, 1)]
    lengths = np.concatenate([trees.lengths for trees in pair])
    trees = LundTrees(lengths, *(np.concatenate([trees[i] for trees in pair]) for i in range(1, 9)))
    order = rng(seed, "mix").permutation(2 * n)
    trees = trees.take(order)
    return trees, lund_inputs(trees, LundNetConfig()), np.repeat([0.0, 1.0], n)[order].astype(np.float32)


def test_on_the_toy_the_analytic_ratio_is_the_optimum_and_the_network_comes_near():
    _, x, y = toy(4000, 0)
    _, x_val, y_val = toy(1000, 1)
    trees, x_test, y_test = toy(8000, 2)
    network = make("lundnet", convs=(16, 32), pool="sum", epochs=6).fit_inputs(x, y, x_val, y_val, seed=0)
    exact = log_ratio(trees, SHOWER, pt=np.full(len(y_test), SHOWER.pt))
    scores = {
        "exact": exact,
        "network": network.score_inputs(x_test),
        "plane": log_ratio(trees, SHOWER, plane="primary"),
        "count": counting(trees, SHOWER.kt_cut),
    }
    results = {name: paired("auc", y_test, score) for name, score in scores.items()}
    gap = results["exact"].value - results["network"].value
    difference = np.ravel(results["exact"].replicas) - np.ravel(results["network"].replicas)
    assert gap > -2 * difference.std()  # no network beats it
    assert results["network"].value > results["count"].value  # and this one has learnt more than to count
    assert results["exact"].value > results["plane"].value


def test_configurations_are_frozen_and_named():
    assert LundNet.configs["paper"] == LundNetConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        LundNet.configs["paper"].fc = 3
