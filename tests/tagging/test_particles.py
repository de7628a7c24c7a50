"""What networks see of particles agrees with the jets' own momenta."""

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError
from hepml_nb.tagging.particles import MOMENTA, PARTICLE_FEATURES, check_features, particles
from hepml_nb.testing.toys import toy_jets

JETS = toy_jets(50, seed=3)


def columns(names, most=None):
    values, lengths = particles(JETS, names, most)
    return dict(zip(names, values.T.astype(float), strict=True)), lengths


def test_momenta_are_massless_and_logs_belong_to_them():
    x, _ = columns(PARTICLE_FEATURES)
    p2 = x["px"] ** 2 + x["py"] ** 2 + x["pz"] ** 2
    np.testing.assert_allclose(x["e"] ** 2, p2, rtol=1e-5)
    np.testing.assert_allclose(np.exp(x["log_pt"]), np.hypot(x["px"], x["py"]), rtol=1e-5)
    np.testing.assert_allclose(np.exp(x["log_e"]), x["e"], rtol=1e-5)
    np.testing.assert_allclose(x["dr"], np.hypot(x["deta_axis"], x["dphi_axis"]), rtol=1e-5)


def test_shares_refer_to_the_vector_sum_of_the_jet():
    x, lengths = columns(PARTICLE_FEATURES)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    total = np.stack([np.bincount(owner, x[name]) for name in MOMENTA], axis=1)
    np.testing.assert_allclose(np.exp(x["log_e_rel"]), x["e"] / total[owner, 0], rtol=1e-4)
    pt = np.hypot(total[:, 1], total[:, 2])
    np.testing.assert_allclose(np.exp(x["log_pt_rel"]), np.hypot(x["px"], x["py"]) / pt[owner], rtol=1e-4)
    np.testing.assert_allclose(np.bincount(owner, x["z"]), 1, rtol=1e-5)
    np.testing.assert_allclose(np.bincount(owner, x["z"] * x["deta"]), 0, atol=1e-6)


def test_the_hardest_are_kept_whatever_their_order():
    x, lengths = columns(("log_pt",), most=4)
    assert lengths.max() == 4
    pt = JETS.constituents.pt
    want = ak.flatten(ak.sort(pt, axis=1, ascending=False)[:, :4])
    np.testing.assert_allclose(np.exp(x["log_pt"]), ak.to_numpy(want), rtol=1e-5)


def test_an_unknown_feature_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"'log_p' is unknown.*log_pt"):
        check_features(("log_p",))
    with pytest.raises(InputError, match="none twice"):
        check_features(("z", "z"))


def test_kaons_and_protons_are_charged_hadrons_too():
    codes = np.array([211, -321, 2212, 22, 130, 11, -13])
    jets = ak.zip({"eta": [0.0], "phi": [0.0], "constituents": ak.Array([[
        {"pt": float(9 - i), "deta": 0.1, "dphi": 0.1, "pdg": int(code)} for i, code in enumerate(codes)
    ]])}, depth_limit=1)  # fmt: skip
    x, _ = particles(jets, ("charge", "charged", "pion", "kaon", "proton", "neutral"))
    np.testing.assert_array_equal(x[:, 0], [1, -1, 1, 0, 0, -1, 1])
    np.testing.assert_array_equal(x[:, 1], [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(x[:, 2:5].argmax(1)[:3], [0, 1, 2])
    np.testing.assert_array_equal(x[:, 5], [0, 0, 0, 0, 1, 0, 0])


def test_impact_parameters_are_signed_along_the_flight_and_zero_without_a_track():
    rows = [(2.0, 0.1, 0.01, 0.001), (1.0, 0.1, -0.01, 0.001), (0.5, -0.1, -0.01, 0.001), (0.4, 0.1, 0.0, 0.0)]
    inside = [{"pt": pt, "deta": 0.0, "dphi": dphi, "pdg": 211 if error else 22, "d0val": d0, "d0err": error,
               "dzval": -d0, "dzerr": error} for pt, dphi, d0, error in rows]  # fmt: skip
    jets = ak.zip({"eta": [0.0], "phi": [0.0], "constituents": ak.Array([inside])}, depth_limit=1)
    x, _ = particles(jets, ("d0", "d0err", "d0sig", "dzsig"))
    np.testing.assert_allclose(x[:, 0], np.tanh([0.01, -0.01, -0.01, 0]), rtol=1e-5)
    np.testing.assert_allclose(x[:, 2], np.log(11) * np.array([1, -1, 1, 0]), rtol=1e-4)
    np.testing.assert_allclose(x[:, 3], np.log(11) * np.array([-1, 1, 1, 0]), rtol=1e-4)
    with pytest.raises(InputError, match=r"lack \['d0val'.*jet-origin and jetclass"):
        particles(JETS, ("z", "d0"))
