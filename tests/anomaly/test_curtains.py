"""CURTAINs: an invertible map that starts as the identity, and moves events to where their mass puts them."""

import numpy as np
import pytest
import torch

from hepml_nb.anomaly import ClassifierConfig, Events, Window, make, problems
from hepml_nb.anomaly.closure import closure
from hepml_nb.anomaly.curtains import CurtainsConfig, MassMap, transport_loss
from hepml_nb.core import InputError
from hepml_nb.simulate.resonance import ResonanceToy

SETTINGS = {"steps": 8, "epochs": 5, "lr": 5e-3, "classifier": ClassifierConfig(members=1, trees=20)}


def events(table):
    return Events(table[:, 0], table[:, 1:], problems.COLUMNS)


def test_up_and_down_are_inverse_and_start_as_the_identity():
    torch.manual_seed(0)
    model = MassMap(3, CurtainsConfig()).standardise(torch.randn(100, 3), torch.randn(100, 1))
    x, step = torch.randn(50, 3), torch.rand(50, 1)
    assert torch.allclose(model.up(x, step), x, atol=0.05)
    with torch.no_grad():
        for weight in model.flow.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    assert not torch.allclose(model.up(x, step), x, atol=0.05)
    assert torch.allclose(model.down(model.up(x, step), step), x, atol=1e-3)


def test_the_loss_falls_when_the_shift_is_right():
    torch.manual_seed(0)
    model = MassMap(2, CurtainsConfig())
    low, high = torch.randn(300, 2), torch.randn(300, 2) + 1.0
    masses = torch.full((300, 1), 3.0), torch.full((300, 1), 4.0)
    before = transport_loss(model, (low, masses[0], high, masses[1])).item()
    right = transport_loss(model, (low, masses[0], high - 1.0, masses[1])).item()
    assert right < 0.3 * before


def test_shifted_features_are_moved_where_they_belong():
    """With features that follow the mass, moved events fit the window's background better than unmoved ones."""
    toy, window = ResonanceToy(0.1), Window(3.3, 3.7)
    sideband, inside = window.split(events(toy.background(16_000, 1)))
    truth = events(toy.background(4000, 3, between=(3.3, 3.7)))
    judged = {}
    for name, untrained in (("moved", False), ("unmoved", True)):
        method = make("curtains", "small", **SETTINGS).fit(sideband, inside, seed=0, untrained=untrained)
        judged[name] = closure(method.template(4000, 2), truth).value
    assert judged["moved"] < judged["unmoved"]
    assert judged["moved"] < 0.6


def test_only_near_sidebands_are_used_and_too_few_are_refused():
    sideband, inside = Window(3.3, 3.7).split(events(ResonanceToy().background(3000, 1)))
    method = make("curtains", "small", width=0.15, epochs=1, steps=1).fit(sideband, inside)
    below, above = method._places
    assert below.mjj.min() > inside.mjj.min() - 0.15
    assert above.mjj.max() < inside.mjj.max() + 0.15
    with pytest.raises(InputError, match="too few"):
        make("curtains", "small", width=1e-4).fit(sideband, inside)
    with pytest.raises(InputError, match="width"):
        CurtainsConfig(width=0)
    assert np.isfinite(method.template(500, 1).features).all()
