"""Tests of the Lorentz group autoencoder: its symmetry, its distance against one by hand, and that it learns."""

from __future__ import annotations

import dataclasses

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb import anomaly
from hepml_nb.anomaly.lgae import LgaeConfig, LgaeNetwork, LmpLayer, chamfer, minkowski, neighbours
from hepml_nb.core import InputError
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.testing import toy_jets
from hepml_nb.testing.symmetries import lorentz_transforms

_TINY = LgaeConfig(encoder=(3, 2), decoder=(2, 3), scalars=2, vectors=3, most=12)


@pytest.fixture(scope="module")
def block():
    """Momenta (jets, 12, 4) in float64 of the order of the unit, and which are there; some jets are shorter."""
    found = particles(toy_jets(20, 3), MOMENTA, 12, np.float64)
    lengths = torch.from_numpy(found.lengths)
    lengths[0] = 12
    values = torch.from_numpy(found.values)
    network = _network(_TINY)
    network.prepare(values, lengths, lengths)
    p, there = network.block(values, torch.from_numpy(particles(toy_jets(20, 3), MOMENTA, 12).lengths))
    there[1, 5:] = False
    return p * there[..., None], there


def _network(config: LgaeConfig = _TINY, seed: int = 0) -> LgaeNetwork:
    torch.manual_seed(seed)
    return LgaeNetwork(config).double().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("aggregate", ["min-max", "mix"])
def test_boosts_and_rotations_turn_vectors_and_leave_scalars(block, aggregate: str):
    p, there = block
    network = _network(dataclasses.replace(_TINY, aggregate=aggregate))
    scalars, vectors = network.encode(p, there)
    made = network.decode(scalars, vectors)
    for matrix in map(torch.from_numpy, lorentz_transforms(3, rapidity=1.0)):
        again, turned = network.encode(p @ matrix.T, there)
        torch.testing.assert_close(again, scalars, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(turned, matrix @ vectors, rtol=1e-6, atol=1e-6 * float(vectors.abs().max()))
        outputs = network.decode(again, turned)
        torch.testing.assert_close(outputs, made @ matrix.T, rtol=1e-6, atol=1e-6 * float(made.abs().max()))
    assert float(scalars.std()) > 1e-3  # else anything would be equivariant
    assert float(vectors.std()) > 1e-3


def test_only_the_invariant_distance_is_the_same_in_every_frame(block):
    p, there = block
    network = _network()
    made = network.decode(*network.encode(p, there))
    matrix = torch.from_numpy(lorentz_transforms(1, rapidity=1.0)[0])
    moved = network.decode(*network.encode(p @ matrix.T, there))
    invariant = chamfer(p, made, invariant=True)
    torch.testing.assert_close(chamfer(p @ matrix.T, moved, invariant=True), invariant, rtol=1e-6, atol=1e-8)
    ratio = chamfer(p @ matrix.T, moved) / chamfer(p, made)
    assert float((ratio - 1).abs().median()) > 0.1


def test_the_order_of_particles_matters_to_mix_alone(block):
    p, there = block
    some = torch.from_numpy(np.random.default_rng(0).permutation(p.shape[1]))
    plain, mixed = _network(), _network(dataclasses.replace(_TINY, aggregate="mix"))
    for one, other in zip(plain.encode(p, there), plain.encode(p[:, some], there[:, some]), strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(mixed.encode(p, there)[1], mixed.encode(p[:, some], there[:, some])[1], rtol=0.01)


def test_a_layer_is_the_sum_over_pairs_of_the_paper(block):
    p, there = block
    torch.manual_seed(1)
    layer = LmpLayer(2, 2).double().requires_grad_(requires_grad=False)
    s, v = torch.randn(*p.shape[:2], 2).double() * there[..., None], torch.randn(*p.shape, 2).double()
    seen = neighbours(p, there)
    n, jet, i = p.shape[1], 1, 2
    scalar, vector = torch.zeros(2).double(), torch.zeros(4, 2).double()
    for j in range(n):
        if j != i and there[jet, j]:
            gap = p[jet, i] - p[jet, j]
            d = minkowski(gap, gap)
            f = (layer.f[0] + layer.f[1] / (1 + (0.3 * d) ** 2) + layer.f[2] / (1 + (3.0 * d) ** 2)) / n
            vector += f * gap[:, None] * s[jet, j]
            scalar += f * minkowski(gap[:, None].T, v[jet, j].T)
    own_s, own_v = s[jet, i], v[jet, i]
    mass = minkowski(own_v.T, own_v.T)
    logs = [torch.sign(x) * torch.log1p(x.abs()) for x in (scalar, mass)]
    by_hand = layer.scalars(torch.cat([own_s, own_s**2, *logs]))
    by_hand = by_hand + layer.again(by_hand)
    vectors = layer.vectors(torch.cat([own_v, own_s * own_v, vector], 1))
    got = layer(s, v, p, seen)
    torch.testing.assert_close(got[0][jet, i], by_hand, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(got[1][jet, i], vectors, rtol=1e-8, atol=1e-8)


def test_loss_and_score_are_the_chamfer_distance():
    found = particles(toy_jets(20, 3), MOMENTA, 12)
    values, lengths = torch.from_numpy(found.values).double(), torch.from_numpy(found.lengths)
    network = _network()
    network.prepare(values, lengths, lengths)
    p, made = (x.numpy() for x in network.reconstruct(values, lengths))
    by_hand = []
    for one, other in zip(p, made, strict=True):
        squares = np.array([[((a - b)[1:] ** 2).sum() for b in other] for a in one])
        by_hand.append(squares.min(0).sum() + squares.min(1).sum())
    assert network.loss(values, lengths, lengths).item() == pytest.approx(np.mean(by_hand))
    assert network.unusual(values, lengths).numpy() == pytest.approx(np.array(by_hand))
    network.config = dataclasses.replace(_TINY, score="relative")
    share = np.array(by_hand) / (p.sum(1)[:, 1:] ** 2).sum(1)
    assert network.unusual(values, lengths).numpy() == pytest.approx(share)


def test_distances_of_sets():
    p = torch.tensor([[[5.0, 3, 4, 0], [5.0, 0, 3, 4]]])
    assert float(chamfer(p, p.flip(1))) == 0.0
    assert float(chamfer(p, torch.zeros(1, 3, 4))) == pytest.approx(2 * 25 + 3 * 25)
    assert float(chamfer(p[:, :1], 3 * p[:, :1], invariant=True)) == 0.0  # collinear, and yet not the same


def test_reconstruction_improves_by_much():
    jets = toy_jets(300, 4)
    method = anomaly.make_jet("lgae", "small", epochs=15).learn(jets, seed=1)
    start = anomaly.make_jet("lgae").learn(jets, seed=1, untrained=True)
    rows = method._rows(jets, np.zeros(300, np.int64))
    assert method.model.loss(*rows).item() < 0.3 * start.model.loss(*rows).item()
    latent = method.model.encode(*method.model.block(*rows[:2]))
    assert latent[0].shape == (300, 2)
    assert latent[1].shape == (300, 4, 4)


def test_the_frame_of_the_jet_is_a_boost_and_a_rotation():
    jets = toy_jets(30, 5)
    lab = anomaly.make_jet("lgae", "small", jet_frame=False)._inputs(jets)
    own = anomaly.make_jet("lgae", "small")._inputs(jets)
    assert np.array_equal(lab.lengths, own.lengths)
    starts = np.cumsum(lab.lengths) - lab.lengths
    masses = []
    for values in (lab.values.astype(float), own.values.astype(float)):
        total = np.add.reduceat(values, starts)
        masses.append(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(1))
    assert masses[1] == pytest.approx(masses[0], rel=0.02)
    total = np.add.reduceat(own.values, starts)
    assert np.abs(total[:, 2:] / total[:, 1:2]).max() < 0.5
    turned = ak.with_field(ak.with_field(jets, jets.eta * 0 + 1.5, "eta"), jets.phi * 0, "phi")
    assert np.array_equal(anomaly.make_jet("lgae")._inputs(turned).values, own.values)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"aggregate": "sum"}, "aggregate='sum'"),
        ({"score": "chamfr"}, "chamfer"),
        ({"vectors": 0}, "vectors=0"),
        ({"encoder": ()}, "encoder"),
        ({"most": None}, "most=None"),
    ],
)
def test_bad_configurations(wrong: dict[str, object], says: str):
    with pytest.raises(InputError, match=says):
        LgaeConfig(**wrong)
