"""Anti-QCD tagging: what stretching does to jets, masses that say nothing of the class, and QCD's spectrum after it."""

from __future__ import annotations

from functools import cache

import awkward as ak
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from hepml_nb import data
from hepml_nb.anomaly import make_jet
from hepml_nb.anomaly.anti_qcd import AntiQcdConfig, spread, stretched
from hepml_nb.core import InputError, RunError
from hepml_nb.stats import auc, jensen_shannon
from hepml_nb.tagging.particles import particles
from hepml_nb.testing import toy_jets

QCD, W, TOP, H4Q = 0, 1, 2, 5


@cache
def jets(split):
    return data.load("unseen-jets").split(split)


def of(some, *labels):
    return some[np.isin(ak.to_numpy(some.label), labels)]


def rows(some, most=None):
    found = particles(some, ("z", "deta", "dphi"), most)
    return torch.from_numpy(found.values), torch.from_numpy(found.lengths)


def at(some, factor):
    """Jets with all angles, and so the mass, times a factor."""
    inside = some.constituents
    for name in ("deta", "dphi"):
        inside = ak.with_field(inside, inside[name] * factor, name)
    return ak.with_field(some, inside, "constituents")


@cache
def tagger(augment):
    train = jets("train")
    return make_jet("anti-qcd", augment=augment).learn(of(train, QCD), known=of(train, W, TOP), seed=1)


def test_the_spread_is_the_mass_over_pt():
    some = of(jets("test"), W, TOP)
    ratio = spread(*rows(some)).numpy() / ak.to_numpy(some.mass / some.pt)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert np.quantile(ratio, [0.05, 0.95]) == pytest.approx(1, abs=0.05)


def test_stretching_a_jet_multiplies_its_mass_and_leaves_its_shares_and_shape():
    values, lengths = rows(of(jets("test"), TOP)[:50])
    factor = torch.linspace(0.3, 1.5, 50)
    new = stretched(values, lengths, factor)
    assert torch.equal(new[:, 0], values[:, 0])
    assert spread(new, lengths) / spread(values, lengths) == pytest.approx(factor, rel=1e-4)
    angles = (torch.atan2(x[:, 2], x[:, 1]) for x in (values, new))
    assert torch.allclose(*angles, atol=1e-5)


@pytest.mark.parametrize("augment", ["all", "known"])
def test_augmented_jets_have_the_masses_of_usual_ones(augment):
    train = jets("train")
    made = make_jet("anti-qcd", augment=augment)
    net = made.learn(of(train, QCD), known=of(train, W, TOP), untrained=True).model
    some = ak.concatenate([of(train, QCD), of(train, W, TOP)])
    values, lengths = rows(some, 40)
    classes = torch.from_numpy(ak.to_numpy(some.label).astype(np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        new, again = (net.augmented(values, lengths, classes) for _ in range(2))
    known, before, after = classes > 0, spread(values, lengths), spread(new, lengths)
    assert torch.equal(after[~known], before[~known]) is (augment == "known")
    assert ks_2samp(before[known], before[~known]).pvalue < 1e-20
    for one in (QCD, W, TOP):
        assert ks_2samp(after[classes == one], before[~known]).pvalue > 0.01
    assert not torch.equal(new, again)


def test_probabilities_are_of_the_classes_in_the_order_of_their_labels():
    test, made = jets("test"), tagger("none")
    p = made.probabilities(test)
    assert p.shape == (len(test), 3)
    assert p.sum(axis=1) == pytest.approx(1)
    for one in (QCD, W, TOP):
        assert p[test.label == one].mean(axis=0).argmax() == one
    score = made.score(test)
    assert np.log((1 - p[:, 0]) / p[:, 0]) == pytest.approx(score, abs=1e-3, rel=1e-3)


def test_augmentation_bends_the_mass_of_qcd_less_and_still_finds_unseen_jets():
    test = of(jets("test"), QCD, H4Q)
    usual, bent = ak.to_numpy(test.label) == QCD, {}
    for augment in ("all", "none"):
        score = tagger(augment).score(test)
        assert auc(~usual, score).value > 0.75
        passes = score > np.quantile(score[usual], 0.8)
        mass = ak.to_numpy(test.mass)
        bins = np.linspace(0, 240, 13)
        bent[augment] = jensen_shannon(mass[passes & usual], mass[~passes & usual], bins=bins)
    assert bent["all"].value < bent["none"].value - 2 * np.hypot(bent["all"].error, bent["none"].error)


def test_with_augmentation_structure_is_found_at_any_mass():
    usual, four = of(jets("test"), QCD), of(jets("test"), H4Q)
    labels = np.repeat([0, 1], [len(usual), len(four)])
    found = {}
    for augment in ("all", "none"):
        made = tagger(augment)
        found[augment] = auc(labels, np.r_[made.score(usual), made.score(at(four, 60 / 125))]).value
    assert found["all"] > 0.8
    assert found["none"] < found["all"] - 0.1


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="most=1"):
        AntiQcdConfig(most=1)
    with pytest.raises(InputError, match=r"augment=.al.*all"):
        AntiQcdConfig(augment="al")
    with pytest.raises(InputError, match="positive widths"):
        AntiQcdConfig(phi=())
    with pytest.raises(RunError, match="learn"):
        make_jet("anti-qcd").probabilities(toy_jets(10))
