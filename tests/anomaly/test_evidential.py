"""Evidential deep learning: closed forms of its loss, how it is annealed, and what its uncertainty tells."""

from __future__ import annotations

import math
from functools import cache

import awkward as ak
import numpy as np
import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from hepml_nb.anomaly import make_jet
from hepml_nb.anomaly.evidential import EvidentialConfig, bayes_risk, divergence, split
from hepml_nb.core import InputError, RunError
from hepml_nb.tagging.particles import particles
from hepml_nb.testing import toy_jets

ALPHA = torch.tensor([[1.0, 1.0, 1.0], [5.0, 1.0, 2.0], [1.5, 40.0, 1.0], [9.0, 9.0, 9.0]])


@cache
def toys():
    return toy_jets(2400, 9, classes=3)


@cache
def fitted(strength=1.0):
    jets = toys()[:1200]
    made = make_jet("evidential", strength=strength, epochs=15, annealing=5)
    return made.learn(jets[jets.label == 0], known=jets[jets.label > 0], seed=2)


def test_the_risk_is_the_expected_squared_error_of_drawn_probabilities():
    classes = torch.tensor([0, 1, 1, 2])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = Dirichlet(ALPHA).sample((200_000,))
    error = (drawn - torch.nn.functional.one_hot(classes, 3)).square().sum(2)
    assert bayes_risk(ALPHA, classes) == pytest.approx(error.mean(0), abs=5 * float(error.std(0).max()) / 200_000**0.5)


def test_the_divergence_is_that_of_the_densities_and_none_for_no_evidence():
    assert divergence(ALPHA) == pytest.approx(kl_divergence(Dirichlet(ALPHA), Dirichlet(torch.ones(3))), abs=1e-5)
    assert float(divergence(torch.ones(1, 4))) == pytest.approx(0, abs=1e-6)


def test_evidence_for_the_true_class_costs_nothing_and_for_others_much():
    net = fitted().model
    net.concentrations = lambda values, lengths: alpha
    try:
        losses = {}
        for name, given in {"right": [50.0, 1.0, 1.0], "wrong": [1.0, 50.0, 1.0], "none": [1.0, 1.0, 1.0]}.items():
            alpha = torch.tensor([given])
            losses[name] = float(net.loss(torch.zeros(2, 3), torch.tensor([2]), torch.tensor([0])))
    finally:
        del net.concentrations
    assert losses["right"] < 0.01
    assert losses["none"] == pytest.approx(4 / 9 + 2 / 9 + (2 / 3) / 4)
    assert losses["wrong"] > 2


def test_the_divergence_is_annealed_by_epochs_in_training_and_counts_in_full_in_validation():
    jets = toys()[:300]
    made = make_jet("evidential", strength=0.5, annealing=4)
    net = made.learn(jets[jets.label == 0], known=jets[jets.label > 0], untrained=True).model
    found = particles(jets[:100], ("z", "deta", "dphi"), 40)
    batch = (torch.from_numpy(found.values), torch.from_numpy(found.lengths), torch.zeros(100, dtype=torch.int64))
    net.per_epoch.fill_(200)  # two batches
    net.train()
    weights = []
    for _ in range(12):
        weights.append(net.weight)
        net.loss(*batch)
    assert weights == pytest.approx(0.5 * np.minimum(np.arange(12) // 2 / 4, 1))
    net.eval()
    seen = int(net.seen)
    net.loss(*batch)
    assert (int(net.seen), net.weight) == (seen, 0.5)


def test_uncertainty_is_classes_over_concentrations_and_parts_of_the_variance_add_up():
    made, jets = fitted(), toys()[1200:]
    alpha = made.concentrations(jets)
    assert alpha.min() >= 1
    assert made.score(jets) == pytest.approx(3 / alpha.sum(axis=1), rel=1e-5)
    assert made.probabilities(jets) == pytest.approx(alpha / alpha.sum(axis=1, keepdims=True), rel=1e-5)
    aleatoric, epistemic = split(alpha)
    assert epistemic == pytest.approx(Dirichlet(torch.from_numpy(alpha)).variance.sum(1).numpy(), rel=1e-6)
    mean = made.probabilities(jets)
    assert aleatoric + epistemic == pytest.approx((mean * (1 - mean)).sum(axis=1), rel=1e-4)


def test_jets_that_are_mistaken_are_uncertain():
    made, jets = fitted(), toys()[1200:]
    right = made.probabilities(jets).argmax(axis=1) == ak.to_numpy(jets.label)
    assert 0.6 < right.mean() < 1
    uncertain = made.score(jets)
    assert uncertain[~right].mean() > uncertain[right].mean() + 0.1


def test_without_the_divergence_it_claims_more_evidence():
    jets = toys()[1200:]
    assert fitted(0.0).score(jets).mean() < 0.6 * fitted(1.0).score(jets).mean()


@pytest.mark.parametrize(
    "wrong", [{"strength": -1.0}, {"strength": math.nan}, {"annealing": -1}, {"evidence": "exp"}, {"f": (0,)}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        EvidentialConfig(**wrong)


def test_an_output_below_zero_is_no_evidence_with_relu_and_can_still_learn_with_softplus():
    jets = toys()[:300]
    for evidence, slope in (("relu", False), ("softplus", True)):
        made = make_jet("evidential", evidence=evidence)
        net = made.learn(jets[jets.label == 0], known=jets[jets.label > 0], untrained=True).model
        last = net.deep_set.f[-1]
        with torch.no_grad():
            last.bias.fill_(-20.0)
        found = particles(jets[:50], ("z", "deta", "dphi"), 40)
        batch = (torch.from_numpy(found.values), torch.from_numpy(found.lengths), torch.zeros(50, dtype=torch.int64))
        net.loss(*batch).backward()
        assert bool((last.bias.grad != 0).any()) is slope


def test_concentrations_need_a_training():
    with pytest.raises(RunError, match="learn"):
        make_jet("evidential").concentrations(toys()[:10])
