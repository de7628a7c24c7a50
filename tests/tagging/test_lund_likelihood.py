"""The analytic likelihood ratio is the exact one on the toy, and reduces to counting at leading logarithm."""

import numpy as np
import pytest
from scipy.integrate import quad

from hepml_nb.core import InputError
from hepml_nb.simulate.collinear import CA, CF, FLAVOURS, Shower, collinear_jets, coupling, kernel, no_emission
from hepml_nb.stats import roc
from hepml_nb.tagging.lund import LundTrees, lund_trees, primary, resolved
from hepml_nb.tagging.lund_likelihood import counting, log_likelihood, log_ratio
from hepml_nb.testing import toy_jets

SHOWER = Shower()
N = 12_000
GLUONS, QUARKS = (LundTrees(**collinear_jets(N, flavour, seed=5, shower=SHOWER)) for flavour in (0, 1))
LABEL = np.repeat([0, 1], N)


@pytest.mark.parametrize("plane", ["full", "primary"])
def test_both_densities_have_the_norm_of_probabilities(plane: str):
    # E_gluon[p_quark / p_gluon] = 1 and the other way round: fails for any wrong kernel, Sudakov or flavour sum
    up, down = np.exp(log_ratio(GLUONS, plane=plane)), np.exp(-log_ratio(QUARKS, plane=plane))
    for ratio in (up, down):
        assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std() / np.sqrt(N))
        assert ratio.std() / np.sqrt(N) < 0.03


def test_the_ratio_is_calibrated_and_the_more_it_sees_the_better():
    auc = {}
    for plane in ("full", "primary"):
        score = np.concatenate([log_ratio(GLUONS, plane=plane), log_ratio(QUARKS, plane=plane)])
        p = 1 / (1 + np.exp(-score))
        for low in (0.1, 0.3, 0.5, 0.7):
            inside = (p > low) & (p < low + 0.2)
            error = np.sqrt(p[inside].mean() * (1 - p[inside].mean()) / inside.sum())
            assert abs(LABEL[inside].mean() - p[inside].mean()) < 4 * error
        auc[plane] = roc(LABEL, score).auc
    count = np.concatenate([counting(GLUONS), counting(QUARKS)])
    assert auc["full"] > auc["primary"] + 0.001
    assert auc["primary"] > roc(LABEL, count).auc + 0.005


def test_no_declustering_has_the_sudakov_factor_as_its_probability():
    for flavour, trees in ((0, GLUONS), (1, QUARKS)):
        expected = np.exp(no_emission(flavour, SHOWER.pt, SHOWER.radius, 0.0, SHOWER))
        none = (trees.lengths == 0).mean()
        assert none == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / N))
        empty = LundTrees(np.zeros(1, int), *(np.zeros(0) for _ in range(8)))
        assert log_likelihood(empty)[0, flavour] == pytest.approx(np.log(expected), abs=1e-6)


def test_the_sudakov_factor_is_the_integral_of_the_kernels():
    def rate(log_angle: float) -> float:
        scale = 525.0 * np.exp(log_angle)

        def one(z: float) -> float:
            return (
                float(coupling(z * scale, SHOWER))
                / np.pi
                * sum(float(kernel(1, hard, soft, z, SHOWER)) for hard in (0, 1) for soft in (0, 1))
            )

        return quad(one, 1.0 / scale, 0.5)[0]

    expected = -quad(rate, np.log(0.05), np.log(0.4), epsrel=1e-5)[0]
    assert float(no_emission(1, 525.0, 0.4, 0.05, SHOWER)) == pytest.approx(expected, rel=1e-3)


def test_splitting_functions_keep_momentum():
    # the second moment of all products together does not evolve: sum over products of z P(z), with the virtual part
    # taken from the same kernels, vanishes identically, so the soft limits must be those of the colour charges
    z = 1e-6
    assert float(kernel(0, 0, 0, z, SHOWER)) * z == pytest.approx(2 * CA, rel=1e-5)
    assert float(kernel(1, 1, 0, z, SHOWER)) * z == pytest.approx(2 * CF, rel=1e-5)
    # hard-collinear constants: B_q = -3/4, B_g = -11/12 + nf TR / (3 CA), as in arXiv:2112.09140
    for flavour, colour, b in ((1, CF, -0.75), (0, CA, -11 / 12 + 5 * 0.5 / (3 * CA))):
        total = sum(
            quad(lambda x, f=flavour, h=hard, s=soft: float(kernel(f, h, s, x, SHOWER)), 1e-6, 0.5, limit=200)[0]
            for hard in (0, 1) for soft in (0, 1)
        )  # fmt: skip
        assert total / (2 * colour) == pytest.approx(np.log(1e6) + b, abs=1e-3)


def test_at_leading_logarithm_it_counts():
    # soft gluons only: every declustering then weighs ln(CF / CA), whatever its place
    angle = np.array([0.3, 0.1, 0.03])
    trees = LundTrees(np.array([3]), np.array([-1, 0, 1]), np.zeros(3, bool), angle, np.full(3, 1e-6), 100 * angle,
                      np.zeros(3), np.ones(3), np.full(3, 1e8))  # fmt: skip
    shower = Shower(pt=1e8, fixed=True, alpha_mz=0.01)
    bare = LundTrees(np.zeros(1, int), *(np.zeros(0) for _ in range(8)))
    weight = log_ratio(trees, shower, plane="primary", pt=[1e8]) - log_ratio(bare, shower, pt=[1e8])
    assert float(weight[0]) == pytest.approx(3 * np.log(CF / CA), rel=1e-3)
    assert float(counting(trees)[0]) == pytest.approx(3 * np.log(CF / CA))


def test_a_cut_drops_softer_branches_and_goes_on_along_the_harder():
    trees = lund_trees(toy_jets(100, seed=2))
    cut = resolved(trees, 2.0)
    assert (cut.kt > 2).all()
    assert len(cut.kt) < len(trees.kt)
    np.testing.assert_array_equal(cut.kt[primary(cut)], trees.kt[primary(trees) & (trees.kt > 2)])
    again = resolved(cut, 2.0)
    for a, b in zip(cut, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(log_ratio(trees)).all()


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="'full' or 'primary'"):
        log_ratio(GLUONS, plane="secondary")
    with pytest.raises(InputError, match="kt_cut"):
        Shower(kt_cut=0.1)
    with pytest.raises(InputError, match="flavour"):
        collinear_jets(10, 2)
    assert FLAVOURS[1] == "quark"
