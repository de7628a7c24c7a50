"""L-GATr respects the symmetries that its references leave, and those references are vectors that a test can turn."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from lgatr import get_spurions
from torch import nn

from hepml_nb.learn import n_parameters
from hepml_nb.tagging import make
from hepml_nb.tagging.l_gatr import LGatrConfig, LGatrNetwork, LGatrTagger
from hepml_nb.tagging.particles import MOMENTA, particles
from hepml_nb.testing import beam_transforms, check_invariance, lorentz_transforms, score_change, toy_jets
from hepml_nb.testing.promises import ConformanceError

VALUES, LENGTHS = (torch.as_tensor(a) for a in particles(toy_jets(60, 5), MOMENTA, 10))
SMALL = LGatrTagger.configs["small"]


def trained(**settings: object) -> nn.Module:
    config = replace(SMALL, most=10, **settings)
    tagger = make("l-gatr", config, epochs=3, batch_size=32).fit(toy_jets(500, 1), toy_jets(100, 2))
    assert isinstance(tagger, LGatrTagger)
    assert tagger.model is not None
    return tagger.model


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return trained()


def test_the_paper_network_is_twelve_blocks_of_sixteen_multivectors():
    config = LGatrConfig()
    assert (config.blocks, config.multivectors, config.scalars, config.heads) == (12, 16, 32, 8)
    network = LGatrNetwork(config)
    assert len(network.net.blocks) == 12
    assert 1.0e6 < n_parameters(network) < 1.2e6


def test_references_are_those_of_the_package():
    expected = get_spurions("xyplane", add_time_spurion=True)
    torch.testing.assert_close(LGatrNetwork(SMALL).added(torch.zeros(1))[1:], expected)


def test_scores_are_invariant_when_the_references_are_transformed_too(network: nn.Module):
    assert check_invariance(network, VALUES, LENGTHS, lorentz_transforms(4)) < 1e-6


def test_a_fixed_time_and_plane_leave_rotations_about_the_beam_only(network: nn.Module):
    check_invariance(network, VALUES, LENGTHS, beam_transforms(3, rapidity=0), references=False)
    with pytest.raises(ConformanceError, match="changes a score"):
        check_invariance(network, VALUES, LENGTHS, beam_transforms(2), references=False)


def test_without_time_boosts_along_the_beam_are_left_too():
    network = trained(time=False)
    check_invariance(network, VALUES, LENGTHS, beam_transforms(3), references=False)
    with pytest.raises(ConformanceError, match="changes a score"):
        check_invariance(network, VALUES, LENGTHS, lorentz_transforms(2), references=False)


def test_without_references_all_of_the_group_is_left():
    check_invariance(trained(time=False, plane=False), VALUES, LENGTHS, lorentz_transforms(3), references=False)


def test_single_precision_keeps_the_symmetry_far_less_well(network: nn.Module):
    single = float(score_change(network, VALUES, LENGTHS, lorentz_transforms(1)[0], dtype=torch.float32).max())
    assert 1e-8 < single < 0.5


def test_a_jet_has_one_score_in_any_company(network: nn.Module):
    network, values = copy.deepcopy(network).eval().double(), VALUES.double()
    short = values[LENGTHS[0] : LENGTHS[0] + 4]
    mixed = torch.cat([values[: LENGTHS[0]], short])
    with torch.inference_mode():
        padded = network(mixed, torch.tensor([int(LENGTHS[0]), 4]))
        torch.testing.assert_close(padded[1], network(short, torch.tensor([4]))[0])


def test_scalars_reach_the_score():
    torch.manual_seed(0)
    network = LGatrNetwork(replace(SMALL, features=(*MOMENTA, "charge"))).eval()
    ones, zeros = (torch.cat([VALUES, torch.full((len(VALUES), 1), c)], dim=1) for c in (1.0, 0.0))
    with torch.inference_mode():
        assert not torch.allclose(network(ones, LENGTHS), network(zeros, LENGTHS))
