"""TRANSIT: events come back at their own mass, and at others they are where the mass puts them."""

import numpy as np
import pytest
import torch

from hepml_nb.anomaly import ClassifierConfig, Events, Window, make, problems
from hepml_nb.anomaly.closure import closure
from hepml_nb.anomaly.transit import TransitConfig, TransitNetwork
from hepml_nb.core import InputError, RunError
from hepml_nb.simulate.resonance import ResonanceToy

SETTINGS = {"epochs": 10, "batch_size": 512, "classifier": ClassifierConfig(members=1, trees=20)}
WINDOW = Window(3.3, 3.7)


def events(table):
    return Events(table[:, 0], table[:, 1:], problems.COLUMNS)


@pytest.fixture(scope="module")
def fitted():
    sideband, inside = WINDOW.split(events(ResonanceToy(0.1).background(16_000, 1)))
    return make("transit", "small", **SETTINGS).fit(sideband, inside, seed=0), sideband


def test_an_event_comes_back_at_its_own_mass(fitted):
    method, sideband = fitted
    x = torch.from_numpy(method.scaler.forward(sideband.features[:2000]).astype(np.float32))
    mass = torch.from_numpy(sideband.mjj[:2000, None].astype(np.float32))
    with torch.no_grad():
        assert float((method.model.move(x, mass, mass) - x).square().mean()) < 0.05


def test_the_template_closes_where_features_follow_the_mass(fitted):
    method, sideband = fitted
    truth = events(ResonanceToy(0.1).background(4000, 3, between=(3.3, 3.7)))
    moved = closure(method.template(4000, 2), truth).value
    unmoved = closure(sideband[np.random.default_rng(0).integers(0, len(sideband), 4000)], truth).value
    assert moved < 0.58
    assert moved < unmoved


def test_both_losses_and_what_they_train():
    torch.manual_seed(0)
    model = TransitNetwork(3, TransitConfig(hidden=16, blocks=1, judge=(8,), consistency=0.5, adversarial=0.3))
    x, mass = torch.randn(40, 3), torch.rand(40, 1)
    torch.manual_seed(1)
    judge, maker = list(model.losses(x, mass))
    torch.manual_seed(1)
    moved, to, rebuilt = model.mapped(x, mass)
    m = model.mass_scale(mass)
    z = model.encoder(x, m)
    by_hand = (model.decoder(z, m) - x).square().mean() + 0.5 * (model.encoder(moved, to) - z).square().mean()
    assert rebuilt.item() == pytest.approx(by_hand.item(), rel=1e-5)
    fooled = -torch.sigmoid(model.judge(torch.cat([moved, to], 1))).log().mean()
    assert maker.item() == pytest.approx((rebuilt + 0.3 * fooled).item(), rel=1e-5)
    assert all(g is None for g in torch.autograd.grad(judge, model.decoder.parameters(), allow_unused=True))


def test_bad_input():
    with pytest.raises(InputError, match="latent"):
        TransitConfig(latent=0)
    sideband, inside = WINDOW.split(events(ResonanceToy().background(2000, 1)))
    with pytest.raises(RunError, match="lr"):
        make("transit", "small", epochs=3, lr=1e18).fit(sideband, inside)
