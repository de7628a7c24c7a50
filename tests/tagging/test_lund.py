"""The Lund plane agrees with FastJet, keeps momentum and has the density that QCD expects."""

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, rng
from hepml_nb.simulate.collinear import CA, CF, Shower, collinear_jets, coupling
from hepml_nb.simulate.substructure import lund
from hepml_nb.tagging.lund import LUND_FEATURES, LundTrees, lund_features, lund_plane, lund_trees, primary
from hepml_nb.testing import toy_jets, without

JETS = toy_jets(300, seed=1)
TREES = lund_trees(JETS)
OWNER = np.repeat(np.arange(300), TREES.lengths)


def test_the_primary_plane_is_fastjets():
    on, theirs = primary(TREES), lund(JETS)
    np.testing.assert_array_equal(np.bincount(OWNER[on], minlength=300), ak.to_numpy(ak.num(theirs)))
    np.testing.assert_allclose(TREES.delta[on], ak.to_numpy(ak.flatten(theirs.delta)), rtol=1e-10)
    np.testing.assert_allclose(TREES.kt[on], ak.to_numpy(ak.flatten(theirs.kt)), rtol=1e-10)


def test_a_jet_of_n_particles_has_n_minus_1_declusterings_parents_first():
    np.testing.assert_array_equal(TREES.lengths, ak.to_numpy(ak.num(JETS.constituents)) - 1)
    number = np.arange(len(OWNER)) - np.repeat(np.cumsum(TREES.lengths) - TREES.lengths, TREES.lengths)
    assert (TREES.parent < number).all()
    assert ((TREES.parent == -1) == (number == 0)).all()
    pairs = np.stack([OWNER, TREES.parent, TREES.soft], axis=1)[number > 0]
    assert len(np.unique(pairs, axis=0)) == len(pairs)  # a branch has one declustering at most


def test_the_first_declustering_has_the_momentum_and_mass_of_the_jet():
    first = np.cumsum(TREES.lengths) - TREES.lengths
    parts = JETS.constituents
    p = [ak.to_numpy(ak.sum(parts.pt * f, axis=1)) for f in (np.cosh(parts.deta), np.cos(parts.dphi),
                                                             np.sin(parts.dphi), np.sinh(parts.deta))]  # fmt: skip
    np.testing.assert_allclose(TREES.pt[first], np.hypot(p[1], p[2]), rtol=1e-5)
    mass = np.sqrt(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2)
    np.testing.assert_allclose(TREES.mass[first], mass, rtol=1e-3)


def test_kinematics_of_a_declustering():
    assert (TREES.z > 0).all()
    assert (TREES.z <= 0.5).all()
    np.testing.assert_allclose(np.exp(lund_features(TREES, ("ln_kt",))[:, 0]), TREES.kt, rtol=1e-5)
    first = np.cumsum(TREES.lengths) - TREES.lengths
    # two branches at small angle: m^2 = z (1 - z) (pt delta)^2 for massless branches, more for massive ones
    least = np.sqrt(TREES.z * (1 - TREES.z)) * TREES.pt * TREES.delta
    assert (TREES.mass > 0.8 * least).all()
    narrow = TREES.delta < TREES.delta[first][OWNER] + 1e-12
    assert narrow.mean() > 0.999


def test_jets_turned_about_their_axis_change_nothing_but_psi():
    angle = 0.7
    parts = JETS.constituents
    turned = ak.with_field(parts, np.cos(angle) * parts.deta - np.sin(angle) * parts.dphi, "deta")
    turned = ak.with_field(turned, np.sin(angle) * parts.deta + np.cos(angle) * parts.dphi, "dphi")
    # only the rapidity-azimuth plane is turned, where C/A measures; masses of branches bend it a little
    other = lund_trees(ak.with_field(JETS, turned, "constituents"))
    np.testing.assert_allclose(np.median(np.abs(other.delta / TREES.delta - 1)), 0, atol=2e-3)
    assert np.median(np.abs(other.psi - TREES.psi)) > 0.1


def test_order_of_particles_and_jets_does_not_matter():
    parts = JETS.constituents
    key = ak.unflatten(rng(0, "order").random(ak.sum(ak.num(parts))), ak.num(parts))
    again = lund_trees(ak.with_field(JETS, parts[ak.argsort(key)], "constituents"))
    for a, b in zip(TREES, again, strict=True):
        np.testing.assert_array_equal(a, b)
    order = rng(1, "jets").permutation(300)
    for a, b in zip(TREES.take(order), lund_trees(JETS[order]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_particle_has_no_declustering_and_particles_on_one_point_a_finite_one():
    parts = JETS.constituents
    alone = lund_trees(ak.with_field(JETS, parts[:, :1], "constituents"))
    assert alone.lengths.sum() == 0
    assert lund_features(alone).shape == (0, len(LUND_FEATURES))
    same = ak.with_field(ak.with_field(parts, parts.deta * 0, "deta"), parts.dphi * 0, "dphi")
    assert np.isfinite(lund_features(lund_trees(ak.with_field(JETS[:5], same[:5], "constituents")))).all()


def test_a_collinear_splitting_adds_a_declustering_and_moves_the_others_by_nothing_much():
    parts = JETS.constituents[:50]
    for angle in (1e-3, 1e-5):
        halves = [ak.with_field(ak.with_field(parts[:, :1], parts.pt[:, :1] * share, "pt"),
                                parts.deta[:, :1] + shift, "deta")
                  for share, shift in ((0.4, 0.6 * angle), (0.6, -0.4 * angle))]  # fmt: skip
        split = lund_trees(ak.with_field(JETS[:50], ak.concatenate([*halves, parts[:, 1:]], axis=1), "constituents"))
        mine = TREES.take(np.arange(50))
        hard, before = split.kt[split.kt > 1], mine.kt[mine.kt > 1]
        added = len(hard) - len(before)
        assert added <= (5 if angle == 1e-3 else 0)
    np.testing.assert_allclose(np.sort(hard), np.sort(before), rtol=2e-3)


def test_the_density_of_soft_collinear_declusterings_is_that_of_qcd():
    shower = Shower(pt=20000.0, radius=0.8, fixed=True, alpha_mz=0.05, kt_cut=1.0)
    x, y = np.linspace(0.5, 1.5, 3), np.linspace(np.log(2), np.log(60), 3)
    got = []
    for flavour, colour in ((0, CA), (1, CF)):
        trees = LundTrees(**collinear_jets(8000, flavour, seed=3, shower=shower))
        plane = lund_plane(trees, x, y, radius=shower.radius)
        expected = 2 * float(coupling(10.0, shower)) * colour / np.pi
        error = np.sqrt(plane / (8000 * (x[1] - x[0]) * (y[1] - y[0])))
        # energy lost to wider emissions and hard-collinear terms are a few per cent here
        assert (np.abs(plane - expected) < 4 * error + 0.06 * expected).all()
        got.append(plane.mean())
    assert got[0] / got[1] == pytest.approx(CA / CF, rel=0.06)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="constituents"):
        lund_trees(without(JETS, "constituents"))
    with pytest.raises(InputError, match=r"'ln_k' is unknown.*ln_kt"):
        lund_features(TREES, ("ln_k",))
    with pytest.raises(InputError, match="no jets"):
        lund_plane(TREES.take(np.arange(0)), np.arange(3.0), np.arange(3.0))
