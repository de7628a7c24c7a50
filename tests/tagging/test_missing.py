"""Attention over what is there comes near the exact posterior, beats the mean in its place, and needs no filling."""

import awkward as ak
import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.simulate.identification import SIGNALS, SPECIES, expected, identification, posterior
from hepml_nb.tagging import make
from hepml_nb.tagging.missing import FeatureSetConfig, FeatureSetNetwork

SETTINGS = {"classes": SPECIES, "signals": SIGNALS}


def cross_entropy(p: np.ndarray, tracks: ak.Array) -> float:
    return float(-np.log(p[np.arange(len(tracks)), ak.to_numpy(tracks.label)]).mean())


def test_the_posterior_of_the_toy_is_calibrated_and_its_signals_are_physics():
    tracks = identification(40_000, seed=1)
    p = posterior(tracks)
    label = ak.to_numpy(tracks.label)
    for species in range(3):
        for low in (0.1, 0.4, 0.7):
            inside = (p[:, species] > low) & (p[:, species] < low + 0.2)
            error = np.sqrt(p[inside, species].mean() * (1 - p[inside, species].mean()) / inside.sum())
            assert abs((label[inside] == species).mean() - p[inside, species].mean()) < 4 * error
    slow = expected(0.5)
    assert slow["tpc"].argmax() == 2  # a proton of 0.5 GeV loses most, and flies longest
    assert slow["tof"][2] == pytest.approx(np.hypot(1, 0.93827 / 0.5))
    with pytest.raises(InputError, match="missing"):
        identification(10, missing=1.0)


def test_missing_signals_have_no_influence():
    torch.manual_seed(0)
    network = FeatureSetNetwork(FeatureSetConfig(classes=SPECIES, signals=SIGNALS)).eval()
    x = torch.randn(6, 4)
    x[:, 2] = torch.nan
    shorter = FeatureSetNetwork(FeatureSetConfig(classes=SPECIES, signals=SIGNALS)).eval()
    shorter.load_state_dict(network.state_dict())
    shorter.standardise.mean[2], shorter.standardise.scale[2] = 17.0, 3.0
    torch.testing.assert_close(network(x), shorter(x))
    assert network(torch.full((2, 4), torch.nan)).isfinite().all()
    assert not torch.allclose(network(x), network(x.nan_to_num()))


@pytest.fixture(scope="module")
def fitted():
    train, val = identification(8000, seed=1), identification(1500, seed=2)
    return {
        kind: make("feature-set", missing=kind, epochs=8, **SETTINGS).fit(train, val) for kind in ("attention", "mean")
    }


def test_attention_beats_the_mean_in_the_place_of_what_is_missing(fitted):
    test = identification(6000, seed=3)
    exact = cross_entropy(posterior(test), test)
    losses = {kind: cross_entropy(tagger.scores(test), test) for kind, tagger in fitted.items()}
    assert exact < losses["attention"]
    assert losses["attention"] - exact < 0.06
    assert losses["attention"] < losses["mean"]


def test_a_row_without_any_signal_gets_the_shares_of_the_species(fitted):
    test = identification(1000, seed=4)
    nothing = ak.zip({name: np.full(5, np.nan) for name in SIGNALS})
    p = fitted["attention"].scores(nothing)
    assert np.isfinite(p).all()
    # no momentum and no signal never occur in the training, so this is an extrapolation: a distribution, no more
    np.testing.assert_allclose(p.sum(1), 1)
    assert fitted["attention"].scores(test).shape == (1000, 3)


def test_bad_input_is_refused(fitted):
    test = identification(20, seed=5)
    with pytest.raises(InputError, match=r"lack the column\(s\) \['tof'\]"):
        fitted["mean"].scores(test[["momentum", "its", "tpc"]])
    with pytest.raises(InputError, match="infinite in 20 of 20"):
        fitted["mean"].scores(ak.with_field(test, np.full(20, np.inf), "tof"))
    with pytest.raises(InputError, match="'median' is unknown"):
        make("feature-set", missing="median")
