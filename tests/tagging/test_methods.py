"""What each tagger does, beyond what all of them promise: against closed forms, libraries and the paper's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError, NotFound
from hepml_nb.learn import FitConfig, n_parameters
from hepml_nb.stats import roc
from hepml_nb.tagging import OBSERVABLES, Tagger, make, methods, observables
from hepml_nb.tagging.cut import Cut
from hepml_nb.tagging.pfn import FEATURES, PFN, PFNConfig, features, loss
from hepml_nb.tagging.trees import Trees
from hepml_nb.testing import toy_jets


@pytest.fixture(scope="module")
def jets() -> tuple[Any, Any, Any]:
    return toy_jets(1500, 10), toy_jets(400, 11), toy_jets(1000, 12)


def two_constituents() -> Any:
    """A jet of 30 and 10 GeV at distances 0.1 and 0.4 from its axis."""
    jets = toy_jets(1)
    parts = ak.Array(
        [[{"pt": 30.0, "deta": 0.1, "dphi": 0.0, "pdg": 211}, {"pt": 10.0, "deta": 0.0, "dphi": -0.4, "pdg": 13}]]
    )
    return ak.with_field(jets, parts, "constituents")


def test_observables_of_two_constituents_are_as_by_hand():
    row = dict(zip(OBSERVABLES, observables(two_constituents())[0], strict=True))
    assert row["width"] == pytest.approx((0.75 * 0.1 + 0.25 * 0.4) / 0.8)
    assert row["lha"] == pytest.approx(0.75 * (0.1 / 0.8) ** 0.5 + 0.25 * (0.4 / 0.8) ** 0.5)
    assert row["ptd"] == pytest.approx((0.75**2 + 0.25**2) ** 0.5)
    assert row["multiplicity"] == 2


def test_ratios_are_zero_where_the_denominator_is():
    jets = ak.with_field(toy_jets(3), np.array([0.0, 0.2, 0.4], "f4"), "tau2")
    jets = ak.with_field(jets, np.array([0.0, 0.1, 0.1], "f4"), "tau3")
    assert observables(jets, ["tau32"])[:, 0].tolist() == pytest.approx([0.0, 0.5, 0.25])


def test_an_observable_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(NotFound, match="did you mean 'tau32'"):
        observables(toy_jets(2), ["tau_32"])
    with pytest.raises(InputError, match=r"lack the column\(s\) \['tau3'\] that tau32 needs"):
        observables(toy_jets(2)[["tau2"]], ["tau32"])


def test_the_cut_finds_the_observable_the_direction_and_the_window(jets: tuple[Any, Any, Any]):
    train, val, test = jets
    planted = np.where(ak.to_numpy(train.label) == 1, 100.0, 0.0) + np.random.default_rng(0).normal(0, 5, len(train))
    cut = make("cut").fit(ak.with_field(train, -planted.astype("f4"), "d2"), val)
    assert isinstance(cut, Cut)
    assert cut.choice == "d2 below"
    assert cut.scores(ak.with_field(test, np.arange(len(test), dtype="f4"), "d2"))[:3].tolist() == [0.0, -1.0, -2.0]
    sides = np.where(ak.to_numpy(train.label) == 1, 0, np.sign(np.random.default_rng(1).normal(size=len(train))) * 100)
    window = make("cut").fit(ak.with_field(train, sides.astype("f4"), "d2"), val)
    assert isinstance(window, Cut)
    assert window.choice.startswith("|d2 - 0")
    one_sided = make("cut", windows=False).fit(ak.with_field(train, sides.astype("f4"), "d2"), val)
    assert isinstance(one_sided, Cut)
    assert "|" not in one_sided.choice


def test_fisher_is_linear_discriminant_analysis(jets: tuple[Any, Any, Any]):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    train, val, test = jets
    expected = LinearDiscriminantAnalysis().fit(observables(train), train.label).predict_proba(observables(test))[:, 1]
    np.testing.assert_allclose(make("fisher").fit(train, val).scores(test), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("max_leaf_nodes", [2, 31, 64])
def test_flattened_trees_score_as_scikit_learn_does(jets: tuple[Any, Any, Any], max_leaf_nodes: int):
    from sklearn.ensemble import HistGradientBoostingClassifier

    train, val, test = jets
    tagger = make("trees", max_leaf_nodes=max_leaf_nodes, max_iter=60, min_samples_leaf=2).fit(train, val)
    assert isinstance(tagger, Trees)
    assert 0 < tagger.n_trees < 60 or max_leaf_nodes == 2
    same = HistGradientBoostingClassifier(
        max_iter=tagger.n_trees, max_leaf_nodes=max_leaf_nodes, min_samples_leaf=2, early_stopping=False
    )
    expected = same.fit(observables(train), train.label).predict_proba(observables(test))[:, 1]
    np.testing.assert_allclose(tagger.scores(test), expected, rtol=1e-9)


def test_trees_go_left_at_the_threshold_itself():
    x = np.repeat(np.array([[0.1], [0.3]], np.float32), 50, axis=0)
    x = np.hstack([x, np.zeros((100, len(OBSERVABLES) - 1), np.float32)])
    y = np.repeat([0.0, 1.0], 50)
    tagger = Trees().fit_inputs(x, y, x, y)
    assert isinstance(tagger, Trees)
    at = x[:1].copy()
    at[0, 0] = tagger.threshold[0, 0]
    above = at.copy()
    above[0, 0] = np.nextafter(at[0, 0], np.float32(1))
    assert tagger.score_inputs(at)[0] < 0.5 < tagger.score_inputs(above)[0]


def test_pfn_features_are_shares_angles_from_the_centroid_charge_and_flags():
    values, lengths = features(two_constituents())
    assert lengths.tolist() == [2]
    row = dict(zip(FEATURES, values.T, strict=True))
    assert row["z"].tolist() == pytest.approx([0.75, 0.25])
    assert row["deta"].tolist() == pytest.approx([0.025, -0.075])
    assert row["dphi"].tolist() == pytest.approx([0.1, -0.3])
    assert row["charge"].tolist() == [1, -1]  # a positive hadron; muon (13) is negative
    assert row["charged"].tolist() == [1, 0]
    assert row["muon"].tolist() == [0, 1]
    assert features(two_constituents(), ("dphi", "z")).values.shape == (2, 2)


def test_pfn_features_ignore_the_jet_axis_and_the_scale():
    jets = toy_jets(50)
    parts = jets.constituents
    moved = ak.with_field(ak.with_field(parts, parts.deta + 0.1, "deta"), parts.pt * 3, "pt")
    before, after = features(jets), features(ak.with_field(jets, moved, "constituents"))
    np.testing.assert_allclose(after.values, before.values, atol=1e-5)


def test_the_paper_network_is_the_paper_one():
    config = PFNConfig(features=("z", "deta", "dphi", "charge"))
    assert n_parameters(PFN.network(config)) == 82_457
    assert (config.phi, config.f) == ((100, 100, 256), (100, 100, 100))
    assert (config.fit.lr, config.fit.batch_size, config.standardise) == (1e-3, 500, False)


def test_the_loss_is_the_mean_binary_cross_entropy_of_a_padded_network():
    jets = toy_jets(64)
    torch.manual_seed(0)
    network = PFN.network()
    values, lengths = (torch.as_tensor(a) for a in features(jets))
    labels = torch.as_tensor(ak.to_numpy(jets.label)).float()
    padded = torch.nn.utils.rnn.pad_sequence(values.split(lengths.tolist()), batch_first=True)
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    per_particle = network.deep_set.phi(network.standardise(padded)) * mask[..., None]
    p = torch.sigmoid(network.deep_set.f(per_particle.sum(1))[:, 0])
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    torch.testing.assert_close(loss(network, (values, lengths, labels)), expected, rtol=1e-4, atol=1e-6)


def test_early_stopping_sees_the_given_validation_split_only(jets: tuple[Any, Any, Any]):
    train, val, _ = jets
    flipped = ak.with_field(val, 1 - val.label, "label")  # on which every step makes things worse
    network = make("dnn", epochs=6, patience=2, schedule="constant").fit(train, flipped)
    assert len(network.history) == 3  # type: ignore[attr-defined]
    trees = make("trees", patience=3).fit(train, flipped)
    assert isinstance(trees, Trees)
    assert trees.n_trees == 0


def test_settings_may_be_changed_by_name():
    tagger = make("pfn", "small", epochs=3, phi=(8, 8), lr=0.1)
    assert (tagger.config.fit.epochs, tagger.config.phi, tagger.config.fit.lr) == (3, (8, 8), 0.1)
    assert make("pfn", {"epochs": 2}).config.fit.epochs == 2
    assert make("pfn", PFNConfig(fit=FitConfig(epochs=7))).config.fit.epochs == 7
    assert make("pfn", "paper").config == methods()["pfn"].default


@pytest.mark.parametrize(
    ("arguments", "overrides", "error", "message"),
    [
        (("pnf",), {}, NotFound, "did you mean 'pfn'"),
        (("pfn", "tiny"), {}, InputError, "no configuration 'tiny'"),
        (("pfn",), {"epoch": 3}, InputError, "did you mean 'epochs'"),
        (("trees",), {"epochs": 3}, InputError, "no setting 'epochs'"),
        (("pfn",), {"features": ("z", "eta")}, InputError, r"features=\['eta'\]"),
        (("pfn", 3), {}, InputError, "a dict or a PFNConfig"),
        (("trees",), {"max_leaf_nodes": 100}, InputError, "expected 2 to 64"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(
    arguments: tuple[Any, ...], overrides: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        make(*arguments, **overrides)


def test_broken_folders_are_refused(tmp_path: Path, jets: tuple[Any, Any, Any]):
    with pytest.raises(InputError, match="holds no saved tagger"):
        Tagger.load(tmp_path)
    path = make("fisher").fit(*jets[:2]).save(tmp_path / "fisher")
    with pytest.raises(InputError, match=r"not PFN; use Tagger\.load"):
        PFN.load(path)
    about = json.loads((path / "tagger.json").read_text())
    (path / "tagger.json").write_text(json.dumps(about | {"inputs": ["mass"]}))
    with pytest.raises(InputError, match=r"was trained on \['mass'\]"):
        Tagger.load(path)
    (path / "tagger.json").write_text(json.dumps(about | {"tagger": "fishr"}))
    with pytest.raises(NotFound, match="did you mean 'fisher'"):
        Tagger.load(path)
    (path / "tagger.json").write_text(json.dumps(about))
    (path / "state.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="holds no saved tagger"):
        Tagger.load(path)


def test_every_method_names_its_source_and_what_it_is():
    for name, method in methods().items():
        assert method.name == method.cls.name == name
        assert method.arxiv
        assert method.summary[0].islower() or method.summary.startswith("Particle")
        assert {"paper", "small"} <= set(method.cls.configs)


def test_toy_jets_follow_the_schema_and_look_like_their_classes():
    jets = toy_jets(2000, seed=1, classes=3)
    assert {
        "pt",
        "eta",
        "phi",
        "mass",
        "msoftdrop",
        "tau1",
        "tau4",
        "label",
        "matched",
        "gen_mass",
        "constituents",
    } <= set(jets.fields)
    masses = [float(np.median(jets.mass[jets.label == k])) for k in (0, 1, 2)]
    assert masses[0] < 70 < masses[1] < 110 < 160 < masses[2] < 190
    assert np.all(jets.tau4 <= jets.tau3)
    pts = jets.constituents.pt
    assert ak.all(pts[:, :-1] >= pts[:, 1:])
    assert int(ak.min(ak.num(pts))) >= 1
    assert ak.array_equal(toy_jets(2000, seed=1, classes=3), jets)
    top = jets[jets.label != 1]
    assert roc(ak.to_numpy(top.label == 2), -ak.to_numpy(top.tau3 / top.tau2)).auc > 0.8
    with pytest.raises(InputError, match="classes 2 or 3"):
        toy_jets(10, classes=4)
