"""Taggers of many classes keep the promises of all; GN2's auxiliary tasks learn what they are for."""

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn import n_parameters
from hepml_nb.stats import roc
from hepml_nb.tagging import make
from hepml_nb.tagging.gn2 import GN2Config, GN2Network, pairs
from hepml_nb.tagging.multi import class_labels, discriminant
from hepml_nb.tagging.registry import multi_methods
from hepml_nb.testing import toy_jets
from hepml_nb.testing.multi import MULTI_CHECKS

CLASSES = ("qcd", "w", "top")


@pytest.mark.parametrize("name", list(multi_methods()))
@pytest.mark.parametrize("check", list(MULTI_CHECKS))
def test_conformance(name: str, check: str):
    MULTI_CHECKS[check](name)


def test_the_discriminant_is_the_ratio_of_probabilities():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.0, 0.0, 1.0]])
    got = discriminant(p, CLASSES, "top", {"qcd": 3.0, "w": 1.0})
    np.testing.assert_allclose(got[:2], np.log(p[:2, 2] / (0.75 * p[:2, 0] + 0.25 * p[:2, 1])))
    assert np.isfinite(got).all()
    with pytest.raises(InputError, match="positive fractions"):
        discriminant(p, CLASSES, "top", {"top": 1.0})
    with pytest.raises(InputError, match="no class 'b'"):
        discriminant(p, CLASSES, "b", {"qcd": 1.0})


def test_labels_are_numbers_of_classes():
    jets = toy_jets(30, classes=3)
    assert class_labels(jets, CLASSES).tolist() == ak.to_numpy(jets.label).tolist()
    assert class_labels(jets[jets.label == 1], CLASSES, every=False).tolist() == [1] * 10


def test_every_pair_of_a_jet_once():
    one, two = pairs(torch.tensor([3, 1, 2]))
    assert list(zip(one.tolist(), two.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]


def test_the_published_widths_are_the_default():
    network = GN2Network(GN2Config(origin="origin", origins=8, vertex="vertex"))
    layer = 4 * 256 * 256 + 4 * 256 + 2 * 256 * 512 + 512 + 256 + 4 * 256
    assert sum(n_parameters(block) for block in network.encoder) == 4 * layer
    assert network.origin[-1].out_features == 8
    assert [m.out_features for m in network.jet if isinstance(m, torch.nn.Linear)][:-1] == [128, 64, 32]


def test_padding_and_company_do_not_matter():
    torch.manual_seed(0)
    network = GN2Network(GN2Config(width=16, heads=2, hidden=16, out=8, head=(8,), vertex="v")).eval()
    values, lengths = torch.randn(12, 7), torch.tensor([2, 7, 3])
    together = network.tasks(values, lengths)
    alone = network.tasks(values[:2], lengths[:1])
    torch.testing.assert_close(together["classes"][:1], alone["classes"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together["vertex"][:1], alone["vertex"], rtol=1e-4, atol=1e-5)
    turned = network.tasks(values[[1, 0]], lengths[:1])
    torch.testing.assert_close(turned["vertex"], alone["vertex"], rtol=1e-4, atol=1e-5)


def with_truth(n: int, seed: int):
    """Toy jets whose constituents know whether they are within 0.1 of the hardest, and a true pt 10 % higher."""
    jets = toy_jets(n, seed=seed, classes=3)
    parts = jets.constituents
    near = np.hypot(parts.deta - parts.deta[:, 0], parts.dphi - parts.dphi[:, 0]) < 0.1
    parts = ak.with_field(parts, ak.values_astype(near, np.int8), "origin")
    jets = ak.with_field(jets, parts, "constituents")
    return ak.with_field(jets, jets.pt * (1.1 + 0.2 * (jets.label == 2)), "true_pt")


@pytest.fixture(scope="module")
def multi():
    tagger = make("gn2", classes=CLASSES, origin="origin", origins=2, vertex="origin", response="true_pt", epochs=5)
    return tagger.fit(with_truth(1500, 0), with_truth(300, 1))


def test_auxiliary_tasks_are_learnt_together_with_the_classes(multi):
    jets = with_truth(400, 2)
    found = multi.tasks(jets)
    parts = jets.constituents[ak.argsort(jets.constituents.pt, ascending=False, stable=True)][:, : multi.config.most]
    truth = ak.to_numpy(ak.flatten(parts.origin))
    assert roc(truth, found["origin"][:, 1]).auc > 0.9
    one, two = pairs(torch.as_tensor(found["lengths"]))
    assert roc(truth[one] == truth[two], found["vertex"]).auc > 0.8
    np.testing.assert_allclose(found["classes"], multi.scores(jets), atol=1e-5)
    assert (multi.predictions(jets) == ak.to_numpy(jets.label)).mean() > 0.7


def test_the_regression_corrects_the_pt(multi):
    jets = with_truth(400, 3)
    true, raw = ak.to_numpy(jets.true_pt), ak.to_numpy(jets.pt)
    assert np.abs(multi.pt(jets) / true - 1).mean() < 0.5 * np.abs(raw / true - 1).mean()


def test_truth_is_no_input(multi):
    jets = with_truth(50, 4)
    plain = ak.with_field(jets, jets.constituents[["pt", "deta", "dphi", "pdg"]], "constituents")
    np.testing.assert_array_equal(multi.scores(jets), multi.scores(plain))
    with pytest.raises(InputError, match=r"lack the field\(s\) \['origin'"):
        make("gn2", classes=CLASSES, origin="origin", origins=2).fit(plain, plain)
    with pytest.raises(InputError, match="has not learnt the response"):
        make("gn2", classes=CLASSES, epochs=1).fit(plain, plain).pt(plain)


def test_settings_that_do_not_fit_are_refused():
    for settings, words in (
        ({"classes": ("a",)}, "at least two"),
        ({"origin": "origin"}, "needs origins"),
        ({"width": 30, "heads": 4}, "multiple"),
        ({"features": ("charg",)}, "'charg' is unknown"),
    ):
        with pytest.raises(InputError, match=words):
            make("gn2", **settings)
