"""BoostNet respects boosts along the beam, rotations about it and reflections, and nothing beyond."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.tagging import make
from hepml_nb.tagging.boostnet import BoostNet, BoostNetConfig, BoostNetwork
from hepml_nb.tagging.lorentznet import LorentzNetConfig, LorentzNetwork
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.testing import beam_transforms, boost, check_invariance, rotation, toy_jets
from hepml_nb.testing.promises import ConformanceError

VALUES, LENGTHS = (torch.as_tensor(a) for a in particles(toy_jets(80, 5), MOMENTA, 12))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    tagger = make("boostnet", epochs=2, batch_size=32).fit(toy_jets(500, 1), toy_jets(100, 2))
    assert isinstance(tagger, BoostNet)
    assert tagger.model is not None
    return tagger.model


def test_boosts_along_the_beam_and_rotations_about_it_change_nothing(network: nn.Module):
    assert check_invariance(network, VALUES, LENGTHS, beam_transforms(6), references=False) < 1e-6


@pytest.mark.parametrize("flipped", [1, 2, 3])
def test_reflections_change_nothing(network: nn.Module, flipped: int):
    mirror = np.eye(4)
    mirror[flipped, flipped] = -1
    check_invariance(network, VALUES, LENGTHS, [mirror])


@pytest.mark.parametrize("matrix", [boost((1, 0, 0), 0.5), rotation((0, 1, 0), 0.5)], ids=["boost", "rotation"])
def test_transforms_that_move_the_beam_do(network: nn.Module, matrix: np.ndarray):
    with pytest.raises(ConformanceError, match="changes a score"):
        check_invariance(network, VALUES, LENGTHS, [matrix])


def test_it_is_of_the_size_of_lorentznet():
    ours, theirs = (n_parameters(n) for n in (BoostNetwork(BoostNetConfig()), LorentzNetwork(LorentzNetConfig())))
    assert ours == pytest.approx(theirs, rel=0.01)


def test_transverse_and_longitudinal_momenta_are_updated_apart(network: nn.Module):
    """The second weight belongs to px and py alone: where it cancels the first, only e and pz move."""
    block = network.blocks[0]
    x, h, s = torch.randn(4, 2, 5), torch.randn(16, 2, 5), torch.randn(2, 2, 5)
    with torch.no_grad():
        block.vector_out.weight[0] = 1.0
        block.vector_out.weight[1] = -1.0
        _, moved = block(h, x, s, None, torch.full((2,), 5.0))
    assert torch.equal(moved[1:3], x[1:3])
    assert not torch.allclose(moved[[0, 3]], x[[0, 3]])


def test_features_are_momenta_then_scalars():
    with pytest.raises(InputError, match="then any of the scalars"):
        BoostNetConfig(features=("z", "deta", "dphi", "charge"))
