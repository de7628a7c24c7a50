"""Jets of eleven origins: the Higgs mass, lifetimes, kaons and charges tell what the partons were."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import NotFound
from hepml_nb.simulate import recipe
from hepml_nb.simulate.recipes.jet_origin import CLASSES, PAIRS, impact_parameters

N = 600


@pytest.fixture(scope="module")
def jets() -> dict[str, ak.Array]:
    return {pair: recipe("jet_origin")(N, seed=1, pair=pair)[0] for pair in PAIRS}


def higgs_mass(jets: ak.Array) -> np.ndarray:
    momentum = np.stack(
        [jets.energy, jets.pt * np.cos(jets.phi), jets.pt * np.sin(jets.phi), jets.pt * np.sinh(jets.eta)]
    )
    energy, *p = momentum[:, 0::2] + momentum[:, 1::2]  # the two jets of an event follow each other
    return np.sqrt(energy**2 - sum(x**2 for x in p))


def displaced(jets: ak.Array) -> np.ndarray:
    """Tracks with |d0| above five errors, but not centimetres as those of K0S."""
    tracks = jets.constituents[jets.constituents.charge != 0]
    return ak.to_numpy(ak.sum((abs(tracks.d0val) > 5 * tracks.d0err) & (abs(tracks.d0val) < 2), axis=1))


def jet_charge(jets: ak.Array) -> np.ndarray:
    weight = jets.constituents.pt**0.5
    return ak.to_numpy(ak.sum(weight * jets.constituents.charge, axis=1) / ak.sum(weight, axis=1))


def separation(values: np.ndarray, first: np.ndarray) -> float:
    """Difference of the two means in units of its error."""
    a, b = values[first], values[~first]
    return float((a.mean() - b.mean()) / np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5))


def test_two_light_quark_jets_have_the_higgs_mass(jets: dict[str, ak.Array]) -> None:
    for pair in ("uu", "dd", "ss", "gg"):
        mass = higgs_mass(jets[pair])
        # 1 % is lost to soft particles, thresholds and the beam pipe; the rest is calorimeter resolution, some 3 GeV
        assert np.median(mass) == pytest.approx(125.0, abs=2.5), pair
        low, high = np.percentile(mass, [16, 84])
        assert (high - low) / 2 < 5, pair
    assert np.median(higgs_mass(jets["bb"])) < np.median(higgs_mass(jets["uu"])) - 2  # neutrinos of b decays


def test_eleven_origins_are_equally_frequent(jets: dict[str, ak.Array]) -> None:
    assert sorted(CLASSES.values()) == list(range(11))
    for pair, code in PAIRS.items():
        label, counts = np.unique(ak.to_numpy(jets[pair].label), return_counts=True)
        expected = [CLASSES[21]] if code == 21 else [CLASSES[code], CLASSES[-code]]
        assert label.tolist() == expected
        assert set(counts.tolist()) == {N // len(expected)}
    assert np.median(jets["uu"].angle) < 0.06 < np.median(jets["gg"].angle)  # gluons radiate more


def test_lifetimes_order_the_flavours(jets: dict[str, ak.Array]) -> None:
    mean = {pair: displaced(jets[pair]).mean() for pair in PAIRS}
    assert mean["bb"] > 2 * mean["cc"] > 4 * max(mean["uu"], mean["dd"])
    assert mean["bb"] > 3  # two displaced charm and beauty vertices with about five tracks in all
    # Most tracks of u jets come from the vertex and have a unit pull; some 8 % stem from K0S, Lambda and charm.
    tracks = jets["uu"].constituents[jets["uu"].constituents.charge != 0]
    pull = abs(ak.to_numpy(ak.flatten(tracks.d0val / tracks.d0err)))
    assert np.mean(pull < 1) == pytest.approx(0.92 * 0.683, abs=0.03)
    assert 0.02 < np.mean(pull > 5) < 0.15


def test_the_leading_kaon_knows_strange_from_antistrange(jets: dict[str, ak.Array]) -> None:
    for pair, sign in (("ss", -1), ("cc", -1), ("bb", -1)):  # s, c -> s and b -> c -> s make K-
        sample = jets[pair]
        kaons = sample.constituents[abs(sample.constituents.pdg) == 321]
        leading = ak.to_numpy(ak.fill_none(ak.firsts(kaons.charge), 0)).astype(float)
        quark = ak.to_numpy(sample.label) == CLASSES[PAIRS[pair]]
        assert sign * separation(leading, quark) > 4, pair


def test_jet_charge_knows_quark_from_antiquark(jets: dict[str, ak.Array]) -> None:
    for pair, sign in (("uu", +1), ("dd", -1), ("ss", -1), ("cc", +1)):
        quark = ak.to_numpy(jets[pair].label) == CLASSES[PAIRS[pair]]
        assert sign * separation(jet_charge(jets[pair]), quark) > 4, pair


def test_gluon_jets_have_more_particles(jets: dict[str, ak.Array]) -> None:
    number = {pair: float(ak.mean(ak.num(jets[pair].constituents))) for pair in PAIRS}
    assert number["gg"] > 1.4 * number["uu"]  # C_A / C_F = 2.25 asymptotically; 1.5 to 1.7 at these energies
    assert number["bb"] > number["uu"]


def test_the_detector_names_particles_as_promised(jets: dict[str, ak.Array]) -> None:
    inside = ak.flatten(ak.concatenate(list(jets.values())).constituents)
    tracks = inside[inside.charge != 0]
    kaon, called = abs(tracks.true_pdg) == 321, abs(tracks.pdg) == 321
    assert float(ak.mean(called[kaon])) == pytest.approx(0.95, abs=0.02)
    assert float(ak.mean(kaon[called])) == pytest.approx(0.95, abs=0.03)
    neutral = inside[inside.charge == 0]
    assert set(np.unique(ak.to_numpy(neutral.pdg))) == {22, 130}
    assert ak.all((neutral.d0val == 0) & (neutral.d0err == 0))
    assert ak.all(tracks.d0err >= 0.0048)  # 5 um, stored with 5 bits


def test_impact_parameters_of_lines_and_circles() -> None:
    p = np.array([[0.0, 1e6, 5e5], [3e6, 4e6, -1e6], [1.0, 0.0, 0.5], [1.0, 0.0, 0.5]])
    place = np.array([[2.0, 7.0, 1.0], [0.3, 0.1, 0.0], [0.0, 0.0, 2.0], [0.0, -0.4, 0.0]])
    d0, dz = impact_parameters(p, place, np.array([1, -1, -1, 1]))
    x, y = place[:, 0], place[:, 1]
    pt = np.hypot(p[:, 0], p[:, 1])
    line = (x * p[:, 1] - y * p[:, 0]) / pt
    along = (x * p[:, 0] + y * p[:, 1]) / pt
    assert d0 == pytest.approx(line, abs=2e-3)
    assert dz == pytest.approx(place[:, 2] - along * p[:, 2] / pt, abs=2e-3)
    # A quarter turn from the beam line and back: a circle through the origin has d0 = 0, z runs with the arc.
    radius = 1.0 / 0.9 * 1000
    for charge in (1, -1):  # positive ones turn to the right, seen along the field
        spot = np.array([[radius, -charge * radius, 0.0]])
        d0, dz = impact_parameters(np.array([[0.0, -charge * 1.0, 2.0]]), spot, np.array([charge]))
        assert d0[0] == pytest.approx(0, abs=1e-6)
        assert dz[0] == pytest.approx(-2 * radius * np.pi / 2)
    assert impact_parameters(p[:1], place[:1], np.array([0]))[0][0] == 0


def test_same_seed_same_jets_and_unknown_pairs_are_refused() -> None:
    one, two, other = (recipe("jet_origin")(20, seed=seed, pair="cc")[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two)
    assert not ak.array_equal(one.pt, other.pt)
    assert len(recipe("jet_origin")(0, pair="cc")[0]) == 0
    assert recipe("jet_origin")(0, pair="cc")[0].fields == one.fields
    with pytest.raises(NotFound, match="no pair"):
        recipe("jet_origin")(1, pair="tt")
