"""Rotations and boosts are what they say, and the check tells networks that respect them from those that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import DeepSet, Standardise, set_pool
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.testing import (
    beam_transforms,
    boost,
    check_invariance,
    lorentz_transforms,
    rotation,
    score_change,
    toy_jets,
    transform,
)
from hepml_nb.testing.promises import ConformanceError

METRIC = np.diag([1.0, -1.0, -1.0, -1.0])
VALUES, LENGTHS = (torch.as_tensor(a) for a in particles(toy_jets(60, 3), MOMENTA, 12))


class Mass(nn.Module):
    """The mass of the jet, or of the jet and a reference vector, as a logit."""

    def __init__(self, references: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("references", references)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        jet = set_pool(values, lengths)
        if self.references is not None:
            jet = jet + self.references.sum(0)
        e, *p = jet.unbind(1)
        return torch.log((e**2 - sum(c**2 for c in p)).clamp(min=1)) - 8


class Plain(nn.Module):
    """A deep set on four-momenta: nothing but permutations is built in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.standardise = Standardise(4).fit(VALUES)
        self.deep_set = DeepSet(4, (16, 16), (16,))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        return self.deep_set(self.standardise(values), lengths)[:, 0]


@pytest.mark.parametrize("matrix", [*lorentz_transforms(5), *beam_transforms(3), rotation((1, 2, 3), 0.7)])
def test_transforms_keep_the_metric_and_the_handedness(matrix: np.ndarray):
    np.testing.assert_allclose(matrix.T @ METRIC @ matrix, METRIC, atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert matrix[0, 0] >= 1


def test_a_boost_adds_to_the_rapidity_and_a_rotation_to_the_angle():
    e, px, py, pz = boost((0, 0, 1), 2.0) @ [5.0, 0.3, 0.4, 1.0]
    assert np.arctanh(pz / e) == pytest.approx(np.arctanh(1 / 5) + 2)
    assert (px, py) == (0.3, 0.4)
    np.testing.assert_allclose(rotation((0, 0, 2), np.pi / 2) @ [1.0, 1.0, 0.0, 0.5], [1, 0, 1, 0.5], atol=1e-15)


def test_transforms_reach_the_rapidity_asked_for_and_differ():
    first, second = lorentz_transforms(2, seed=1, rapidity=1.5)
    assert [m[0, 0] for m in (first, second)] == pytest.approx([np.cosh(1.5)] * 2)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(lorentz_transforms(2, seed=1, rapidity=1.5)[1], second)
    for matrix in beam_transforms(4, rapidity=0):
        np.testing.assert_allclose(matrix[[0, 3]], np.eye(4)[[0, 3]], atol=1e-15)


def test_scalars_beside_the_momenta_are_left_alone():
    values = torch.cat([VALUES, torch.arange(len(VALUES))[:, None].float()], dim=1)
    moved = transform(values, boost((1, 0, 0), 1.0))
    assert torch.equal(moved[:, 4], values[:, 4])
    assert not torch.allclose(moved[:, 0], values[:, 0])


def test_the_mass_is_invariant_and_the_check_returns_how_well():
    assert check_invariance(Mass(), VALUES, LENGTHS, lorentz_transforms(4)) < 1e-8


def test_a_reference_vector_has_to_be_transformed_too():
    beam = Mass(torch.tensor([[300.0, 0.0, 0.0, 300.0]]))
    check_invariance(beam, VALUES, LENGTHS, lorentz_transforms(4))
    check_invariance(beam, VALUES, LENGTHS, beam_transforms(4, rapidity=0), references=False)
    with pytest.raises(ConformanceError, match="changes a score by"):
        check_invariance(beam, VALUES, LENGTHS, lorentz_transforms(4), references=False)


def test_a_plain_network_on_momenta_is_not_invariant():
    with pytest.raises(ConformanceError, match="Plain: a transform changes a score"):
        check_invariance(Plain(), VALUES, LENGTHS, lorentz_transforms(2))


def test_a_network_that_says_nothing_does_not_pass():
    class Constant(nn.Module):
        def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
            return values.new_zeros(len(lengths))

    with pytest.raises(ConformanceError, match="train it a little"):
        check_invariance(Constant(), VALUES, LENGTHS, lorentz_transforms(1))


def test_single_precision_is_measured_and_is_worse():
    matrix = lorentz_transforms(1)[0]
    double = score_change(Mass(), VALUES, LENGTHS, matrix)
    single = score_change(Mass(), VALUES, LENGTHS, matrix, dtype=torch.float32)
    assert double.shape == single.shape == LENGTHS.shape
    assert double.dtype == single.dtype == torch.float64
    assert float(double.max()) < 1e-9 < float(single.max())


def test_the_network_given_is_left_as_it_was():
    network = Mass(torch.tensor([[300.0, 0.0, 0.0, 300.0]])).train()
    score_change(network, VALUES, LENGTHS, boost((0, 1, 0), 2.0))
    assert network.training
    assert network.references.tolist() == [[300.0, 0.0, 0.0, 300.0]]
    assert network.references.dtype == torch.float32


def test_an_axis_needs_a_direction():
    with pytest.raises(InputError, match="not all zero"):
        boost((0, 0, 0), 1.0)
    with pytest.raises(InputError, match="three numbers"):
        rotation((0, 1), 1.0)
