"""The recipe of jets with a known optimum: the schema's columns, the exact ratio, jets that look like jets."""

from __future__ import annotations

import hashlib
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb import stats
from hepml_nb.core import InputError
from hepml_nb.simulate import autoregressive, recipe

WEIGHTS = "86b0b7d635f9552b"


@pytest.fixture(scope="module")
def made() -> dict[int, Any]:
    return {label: recipe("autoregressive_jets")(600, seed=2, label=label)[0] for label in (0, 1)}


def test_the_weights_are_those_of_the_recipes_version() -> None:
    """Other weights make other jets: raise the recipe's version with this number."""
    assert recipe("autoregressive_jets").version == 1
    assert hashlib.sha256(autoregressive._WEIGHTS.read_bytes()).hexdigest()[:16] == WEIGHTS


def test_the_ratio_is_that_of_the_particles_as_stored(made: dict[int, Any]) -> None:
    model = autoregressive.density()
    for jets in made.values():
        again = model.log_ratio(model.grid.tokens(jets))
        np.testing.assert_allclose(again, ak.to_numpy(jets.log_ratio), atol=2e-3)


def test_no_observable_separates_better_than_the_ratio(made: dict[int, Any]) -> None:
    jets = ak.concatenate(list(made.values()))
    labels = ak.to_numpy(jets.label)
    best = stats.auc(labels, ak.to_numpy(jets.log_ratio))
    assert 0.97 < best.value < 0.999
    for name in ("mass", "msoftdrop", "tau2", "d2", "n2"):
        area = stats.auc(labels, ak.to_numpy(jets[name])).value
        assert max(area, 1 - area) < best.value - 3 * best.error


def test_jets_look_like_their_classes(made: dict[int, Any]) -> None:
    qcd, top = made[0], made[1]
    assert 140 < np.median(top.mass) < 170  # below the top's: particles above 3 GeV only
    assert np.median(qcd.mass) < 65
    assert np.median(top.tau3 / top.tau2) < np.median(qcd.tau3 / qcd.tau2)
    for jets in (qcd, top):
        assert 530 < np.median(jets.pt) < 600
        assert np.all(ak.to_numpy(ak.num(jets.constituents)) <= 64)
        assert np.all(ak.to_numpy(ak.flatten(jets.constituents.pt)) >= 3)
        assert abs(np.mean(jets.eta)) < 0.25


def test_jets_repeat_by_seed_and_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    make = recipe("autoregressive_jets")
    one, same, other = (make(20, seed=seed, label=1)[0] for seed in (3, 3, 4))
    assert ak.array_equal(one, same, equal_nan=True)
    assert not ak.array_equal(one.mass, other.mass)
    assert torch.get_num_threads() == before
    assert ak.to_list(one.event) == list(range(20))


def test_no_jets_and_a_third_class() -> None:
    make = recipe("autoregressive_jets")
    assert make(0, label=0)[0].fields == make(1, label=0)[0].fields
    with pytest.raises(InputError, match="label=2"):
        make(3, label=2)
