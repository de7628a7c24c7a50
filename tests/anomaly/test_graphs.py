"""Jets as graphs: the convolution by hand, a set distance with a closed form, and what an embedding must not know."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from hepml_nb.anomaly import make_jet
from hepml_nb.anomaly.graphs import GraphConfig, GraphConv, GraphNetwork, set_distance
from hepml_nb.core import InputError
from hepml_nb.learn.graphs import nearest
from hepml_nb.testing import toy_jets


@pytest.fixture(scope="module")
def jets():
    made = toy_jets(900, 3, classes=3)
    return made[made.label == 0], made[made.label == 2]


@pytest.fixture(scope="module")
def batch(jets):
    method = make_jet("graph-autoencoder").learn(jets[0], untrained=True)
    return method.model, *method._rows(jets[0][:40], np.zeros(40, np.int64))


def test_a_convolution_is_what_its_formula_says():
    torch.manual_seed(1)
    points, lengths = torch.randn(7, 2), torch.tensor([4, 1, 2])
    x, layer = torch.randn(7, 3), GraphConv(3, 5)
    made = layer(x, nearest(points, lengths, 2))
    starts = [0, 4, 5, 7]
    for first, last in pairwise(starts):
        for i in range(first, last):
            others = [j for j in range(first, last) if j != i]
            others = sorted(others, key=lambda j: float((points[i] - points[j]).square().sum()))[:2]
            change = torch.stack([x[j] - x[i] for j in others]).mean(0) if others else torch.zeros(3)
            by_hand = layer.own.weight @ x[i] + layer.others.weight @ change
            assert torch.allclose(made[i], torch.where(by_hand > 0, by_hand, 0.1 * by_hand), atol=1e-5)


def test_the_distance_of_sets_is_a_mean_and_ignores_padding():
    block = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [9.0, 9.0]]])
    there, made = torch.tensor([[True, True, False]]), torch.tensor([[[0.0, 1.0]]])
    assert torch.isclose(set_distance(block, there, made), torch.tensor([(1 + 10) / 2 + 1.0]), atol=1e-4)
    twice = torch.cat([block[:, :2]] * 2, 1)
    assert torch.isclose(set_distance(twice, torch.ones(1, 4, dtype=torch.bool), made), torch.tensor([6.5]), atol=1e-4)


def test_an_embedding_knows_no_order_and_no_other_jet(batch):
    model, values, lengths, _ = batch
    whole = model.embed(values, lengths)
    first = int(lengths[0])
    turned = torch.cat([values[:first].flip(0), values[first:]])
    assert torch.allclose(model.embed(turned, lengths), whole, atol=1e-4)
    assert torch.allclose(model.embed(values[:first], lengths[:1]), whole[:1], atol=1e-4)


def test_two_copies_of_each_particle_differ_in_their_number_only(batch):
    """The sum weighted by z stays and the plain one doubles, for layers that see neither neighbours nor log z."""
    model = GraphNetwork(GraphConfig(hidden=(6,), embedding=4, k=1))
    _, values, lengths, classes = batch
    model.prepare(values, lengths, classes)
    model.layers[0].others.weight.data.zero_()
    model.layers[0].own.weight.data[:, 0] = 0
    half = values.clone()
    half[:, 0] /= 2
    n = model.layers[0].own.out_features
    once, twice = (
        _pooled(model, part, count) for part, count in ((values, lengths), (_doubled(half, lengths), 2 * lengths))
    )
    expected = torch.where(torch.arange(2 * n) < n, 2 * once, once)
    assert torch.allclose(twice, expected, atol=1e-4)


def _doubled(values, lengths):
    return torch.cat([part.repeat(2, 1) for part in torch.split(values, lengths.tolist())])


def _pooled(model, values, lengths):
    kept, model.pool = model.pool, torch.nn.Identity()
    pooled = model.embed(values, lengths)
    model.pool = kept
    return pooled


def test_training_reconstructs_usual_jets_better_than_others(jets):
    usual, odd = jets
    trained, untrained = (make_jet("graph-autoencoder").learn(usual[:250], untrained=how) for how in (False, True))
    assert trained.score(usual[250:]).mean() < 0.7 * untrained.score(usual[250:]).mean()
    assert trained.score(usual[250:]).mean() < trained.score(odd).mean()


def test_a_sphere_does_not_collapse_and_its_centre_stays(jets):
    method = make_jet("graph-svdd", epochs=5).learn(jets[0])
    assert (method.model.centre.abs() >= 0.1 - 1e-6).all()
    assert not [name for name, _ in method.model.named_parameters() if name.endswith("bias") and "decoder" not in name]
    scores = method.score(jets[0])
    assert scores.std() > 0.1 * scores.mean() > 0


def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="a convolution or more"):
        GraphConfig(hidden=())
    with pytest.raises(InputError, match="k=0"):
        make_jet("graph-svdd", k=0)
