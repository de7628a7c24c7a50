"""Emissions are what they say, and the energy flow taggers do not see them while others do."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.tagging import make
from hepml_nb.testing import EMISSIONS, SIZES, emit, score_changes, toy_jets, untruncated

TRAIN, TEST = toy_jets(600, seed=1), toy_jets(120, seed=2)


def fitted(name: str):
    settings = {"efp": {"degree": 3}}.get(name, {"epochs": 2, "batch_size": 32})
    return make(name, **settings).fit(TRAIN, TEST)


def test_a_split_keeps_momentum_and_centre():
    before = TEST.constituents
    after = emit(TEST, "collinear", 1e-3).constituents
    assert ak.all(ak.num(after) == ak.num(before) + 1)
    np.testing.assert_allclose(ak.to_numpy(ak.sum(after.pt, axis=1)), ak.to_numpy(ak.sum(before.pt, axis=1)), rtol=1e-5)
    centres = [ak.to_numpy(ak.sum(p.pt * p.deta, axis=1) / ak.sum(p.pt, axis=1)) for p in (before, after)]
    np.testing.assert_allclose(centres[1], centres[0], atol=1e-6)
    last = after[:, -1]
    near = ak.min(np.hypot(after.deta[:, :-1] - last.deta, after.dphi[:, :-1] - last.dphi), axis=1)
    assert ak.all(near < 1e-3 * (1 + 1e-6))


def test_a_soft_particle_is_soft_and_the_rest_is_as_it_was():
    after = emit(TEST, "soft", 1e-4).constituents
    np.testing.assert_allclose(ak.to_numpy(after.pt[:, -1] / ak.sum(TEST.constituents.pt, axis=1)), 1e-4, rtol=1e-4)
    assert ak.all(after.pt[:, :-1] == TEST.constituents.pt)
    assert ak.all(np.hypot(after.deta[:, -1], after.dphi[:, -1]) < 0.8)


@pytest.mark.parametrize("name", ["efp", "efn", "irc-mpn"])
@pytest.mark.parametrize("kind", EMISSIONS)
def test_the_change_of_a_safe_score_goes_to_zero_with_the_emission(name: str, kind: str):
    changes = score_changes(fitted(name), TEST, kind)
    mean = changes.mean(axis=1)
    assert (np.diff(mean) < 0).all()
    # distances enter the polynomials as dR^(1/2): a hundredth per four decades; all else is linear
    assert mean[-1] < mean[0] * (SIZES[-1] / SIZES[0]) ** (0.5 if name == "efp" and kind == "collinear" else 1) * 3
    assert changes[-1].max() < (1e-2 if name == "efp" else 1e-4)


@pytest.mark.parametrize("kind", EMISSIONS)
def test_the_change_of_an_unsafe_score_stays(kind: str):
    mean = score_changes(fitted("pfn"), TEST, kind).mean(axis=1)
    assert mean[-1] > 1e-3
    assert mean[-1] > mean[0] / 2


def test_a_copy_takes_all_particles_in_float64_and_leaves_the_tagger_alone():
    tagger = make("irc-mpn", most=5, epochs=1).fit(TRAIN, TEST)
    twin = untruncated(tagger)
    assert (twin.config.most, tagger.config.most) == (None, 5)
    assert twin.prepare(TEST).values.dtype == np.float64
    assert tagger.prepare(TEST).values.dtype == np.float32


def test_unknown_emissions_are_refused():
    with pytest.raises(InputError, match="expected one of"):
        emit(TEST, "hard", 0.1)
    with pytest.raises(InputError, match="positive size"):
        emit(TEST, "soft", 0.0)
