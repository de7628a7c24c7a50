"""ANTELOPE: a signal model steers what is looked at; what is anomalous, the autoencoder of background decides."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.anomaly import make_jet
from hepml_nb.anomaly.antelope import AntelopeConfig
from hepml_nb.core import InputError
from hepml_nb.stats import auc
from hepml_nb.testing import toy_jets


@pytest.fixture(scope="module")
def jets():
    made = toy_jets(2100, 11, classes=3)
    return tuple(made[made.label == label] for label in (0, 1, 2))


@pytest.fixture(scope="module")
def trained(jets):
    return make_jet("antelope").learn(jets[0][:500], known=jets[1][:500], seed=2)


def area(method, usual, odd):
    labels = np.repeat([0, 1], [len(usual), len(odd)])
    return auc(labels, method(ak.concatenate([usual, odd]))).value


def test_the_first_network_knows_its_signal_model(trained, jets):
    assert area(trained.known_like, jets[0][500:], jets[1][500:]) > 0.85


def test_a_signal_that_is_not_the_model_is_found(trained, jets):
    untrained = make_jet("antelope").learn(jets[0][:500], known=jets[1][:500], seed=2, untrained=True)
    found, before = (area(one.score, jets[0][500:], jets[2][500:]) for one in (trained, untrained))
    assert found > 0.7
    assert found > before + 0.02


def test_the_second_training_leaves_the_encoding_as_it_is(jets):
    """The autoencoder is trained on top of the frozen encoding: more of its epochs change no encoding."""
    few, more = (make_jet("antelope", epochs=n).learn(jets[0][:300], known=jets[1][:300], seed=3) for n in (1, 4))
    values, lengths, _ = few._rows(jets[0][:50], np.zeros(50, np.int64))
    assert torch.equal(few.model.encoding(values, lengths), more.model.encoding(values, lengths))
    assert not torch.equal(few.model.encoder[0].weight, more.model.encoder[0].weight)


def test_the_loss_asks_for_usual_jets_only(trained, jets):
    values, lengths, _ = trained._rows(jets[0][:30], np.zeros(30, np.int64))
    classes = torch.arange(30) % 2
    error = trained.model.error(values, lengths)
    assert torch.isclose(trained.model.loss(values, lengths, classes), error[classes == 0].mean())
    assert not trained.model.loss(values, lengths, torch.ones(30, dtype=torch.int64)).any()


def test_classes_of_unequal_size_weigh_alike(trained, jets):
    """Four times as many usual jets, each a copy, change nothing of the first training's loss."""
    values, lengths, _ = trained._rows(ak.concatenate([jets[0][:20], jets[1][:20]]), np.zeros(40, np.int64))
    classes = torch.repeat_interleave(torch.tensor([0, 1]), 20)
    once = trained.model.supervised(values, lengths, classes)
    parts = torch.split(values, lengths.tolist())
    order = [*list(range(20)) * 4, *range(20, 40)]
    many = torch.cat([parts[i] for i in order]), lengths[order], classes[order]
    assert torch.isclose(trained.model.supervised(*many), once, rtol=1e-4)


def test_a_bottleneck_that_is_none_is_refused():
    with pytest.raises(InputError, match="bottleneck"):
        AntelopeConfig(phi=(32, 8), latent=8)
