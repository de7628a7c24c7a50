"""Perturbed jets: nothing done changes nothing, boosts keep masses, losses lose what they say."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.simulate import describe
from hepml_nb.tagging import check_jets, make
from hepml_nb.tagging.perturb import boost, drop_soft, lose, smear
from hepml_nb.testing import toy_jets, without


@pytest.fixture(scope="module")
def jets() -> Any:
    toys = toy_jets(120, seed=3)
    inside = toys.constituents
    for name, values in describe(inside.pt, inside.deta, inside.dphi).items():
        toys = ak.with_field(toys, values.astype(np.float32), name)  # toys estimate theirs
    return ak.with_field(toys, np.ones(120, np.float32), "log_ratio")


def flat(jets: Any, name: str) -> np.ndarray:
    return ak.to_numpy(ak.flatten(jets.constituents[name]))


@pytest.mark.parametrize(
    "nothing", [lambda j: smear(j, 0.0), lambda j: drop_soft(j, 0.0), lambda j: lose(j, 0.0), lambda j: boost(j, 0.0)]
)
def test_nothing_done_gives_the_same_jets(jets: Any, nothing: Any) -> None:
    same = nothing(jets)
    for name in ("pt", "deta", "dphi", "pdg"):
        np.testing.assert_allclose(flat(same, name), flat(jets, name), rtol=1e-5, atol=1e-6)
    for name in ("pt", "eta", "phi", "mass", "msoftdrop", "tau1", "tau3", "d2", "label", "event"):
        np.testing.assert_allclose(ak.to_numpy(same[name]), ak.to_numpy(jets[name]), rtol=2e-3, atol=2e-3)


def test_columns_that_belong_to_the_jet_before_are_gone_and_labels_stay(jets: Any) -> None:
    after = smear(without(jets, "gen_pt"), 0.2)
    assert set(after.fields) == set(jets.fields) - {"log_ratio", "gen_pt"}
    assert ak.to_list(after.label) == ak.to_list(jets.label)
    check_jets(after, after.fields)


def test_smearing_has_the_asked_width_and_repeats_by_seed(jets: Any) -> None:
    one, same, other = (smear(jets, 0.1, 0.01, seed=seed) for seed in (1, 1, 2))
    assert ak.array_equal(one.constituents.pt, same.constituents.pt)
    assert not ak.array_equal(one.constituents.pt, other.constituents.pt)
    ordered = flat(one, "pt")
    owner = np.repeat(np.arange(len(one)), ak.num(one.constituents))
    assert (np.diff(ordered)[np.diff(owner) == 0] <= 0).all()  # sorted anew
    total = np.log(ak.to_numpy(ak.sum(one.constituents.pt, axis=1) / ak.sum(jets.constituents.pt, axis=1)))
    share = jets.constituents.pt / ak.sum(jets.constituents.pt, axis=1)
    expected = 0.1 * np.sqrt(ak.to_numpy(ak.sum(share**2, axis=1)))
    assert np.std(total / expected) == pytest.approx(1, abs=0.15)
    soft = smear(without(jets, "tau1"), 0.0, 0.02)
    assert np.std(ak.to_numpy(soft.eta) - ak.to_numpy(jets.eta)) < 0.02  # the axis averages over particles
    assert np.std(flat(soft, "deta") - flat(jets, "deta")) == pytest.approx(0.02, rel=0.15)


def rapidity(jets: Any) -> np.ndarray:
    """Return the rapidity of the sum of each jet's particles."""
    eta = jets.constituents.deta + jets.eta
    pz, energy = (ak.to_numpy(ak.sum(jets.constituents.pt * f(eta), axis=1)) for f in (np.sinh, np.cosh))
    return np.arctanh(pz / energy)


def test_a_boost_along_the_beam_adds_to_rapidities_and_turns_nothing(jets: Any) -> None:
    fine = smear(jets, 0.0)
    after = boost(fine, 1.5, "beam")
    np.testing.assert_allclose(rapidity(after) - rapidity(fine), 1.5, atol=1e-3)
    assert ak.to_numpy(after.eta - jets.eta).max() > 1.55  # a massive jet's pseudorapidity moves by more
    for name in ("pt", "dphi"):
        np.testing.assert_allclose(flat(after, name), flat(jets, name), rtol=1e-5, atol=2e-6)
    within = ak.to_numpy(ak.flatten(after.constituents.deta - ak.firsts(after.constituents.deta)))
    before = ak.to_numpy(ak.flatten(jets.constituents.deta - ak.firsts(jets.constituents.deta)))
    np.testing.assert_allclose(within, before, atol=2e-6)
    np.testing.assert_allclose(ak.to_numpy(after.mass), ak.to_numpy(jets.mass), rtol=2e-3, atol=0.05)


def test_a_boost_along_the_jet_keeps_its_mass_and_narrows_it(jets: Any) -> None:
    after = boost(jets, 0.7)
    np.testing.assert_allclose(ak.to_numpy(after.mass), ak.to_numpy(jets.mass), rtol=5e-3, atol=0.1)
    energy = {name: np.hypot(j.pt * np.cosh(j.eta), j.mass) for name, j in (("before", jets), ("after", after))}
    heavy = ak.to_numpy(jets.mass) < 150
    ratio = ak.to_numpy(energy["after"] / energy["before"])[heavy]
    assert np.median(ratio) == pytest.approx(np.exp(0.7), rel=0.01)  # a light jet's momentum grows as its energy
    assert np.mean(np.abs(flat(after, "deta"))) < 0.7 * np.mean(np.abs(flat(jets, "deta")))
    back = boost(after, -0.7)
    np.testing.assert_allclose(flat(back, "pt"), flat(jets, "pt"), rtol=1e-4)
    np.testing.assert_allclose(flat(back, "deta"), flat(jets, "deta"), atol=1e-4)


def test_losses_lose_what_they_say_and_keep_the_hardest(jets: Any) -> None:
    after = drop_soft(jets, 2.0)
    kept = jets.constituents.pt >= 2.0
    assert ak.to_list(ak.num(after.constituents)) == ak.to_list(ak.sum(kept, axis=1))
    assert flat(after, "pt").min() >= 2.0
    everything = drop_soft(jets, 1e6)
    assert ak.to_list(ak.num(everything.constituents)) == [1] * len(jets)
    np.testing.assert_allclose(flat(everything, "pt"), ak.to_numpy(ak.max(jets.constituents.pt, axis=1)), rtol=1e-6)
    fewer = lose(jets, 0.3, seed=4)
    share = len(flat(fewer, "pt")) / len(flat(jets, "pt"))
    assert share == pytest.approx(0.7, abs=0.02)
    lost = ak.to_numpy(ak.sum(fewer.constituents.pt, axis=1)) / ak.to_numpy(ak.sum(jets.constituents.pt, axis=1))
    assert np.all(lost <= 1)
    assert np.all(ak.to_numpy(fewer.pt) < 1.02 * ak.to_numpy(jets.pt))


def test_a_tagger_that_knows_relative_momenta_only_is_blind_to_a_boost_along_the_beam(jets: Any) -> None:
    tagger = make("pfn").fit(jets, jets, untrained=True)
    scores = tagger.scores(jets)
    np.testing.assert_allclose(tagger.scores(boost(jets, 1.0, "beam")), scores, atol=1e-4)
    assert np.abs(tagger.scores(boost(jets, 0.5)) - scores).max() > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda j: smear(j, -0.1), "pt=-0.1 is out of range"), (lambda j: smear(j, 0.1, np.nan), "angle=nan"),
     (lambda j: lose(j, 1.0), "fraction=1.0"), (lambda j: drop_soft(j, -1), "below=-1"),
     (lambda j: boost(j, np.inf), "rapidity=inf"), (lambda j: boost(j, 0.1, "up"), "'beam' or 'jet'"),
     (lambda j: smear(without(j, "eta")), "eta"), (lambda j: lose(j[:0]), "no jets")],
)  # fmt: skip
def test_bad_input_is_named(jets: Any, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(jets)
