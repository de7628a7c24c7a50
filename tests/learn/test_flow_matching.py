"""Flow matching: integrators of their order, the loss of the paper, and samples of a known mixture."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, FlowMatching, RowBatches, TimeNetwork, fit, integrate


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_integrators_have_their_order(method, order):
    start = torch.ones(1, 1, dtype=torch.float64)
    exact = math.exp(math.e - 1)
    errors = [
        abs(float(integrate(lambda x, t: x * t.exp()[:, None], start, steps=n, method=method)[-1]) - exact)
        for n in (20, 40)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_the_exact_velocity_carries_noise_to_a_known_gaussian():
    # from N(0, 1) to N(2, 0.5^2): x_t has variance s_t^2 = (1 - t)^2 + t^2 / 4, and v = 2 + (s_t'/s_t) (x - 2 t)
    def velocity(x, t):
        spread = (1 - t) ** 2 + t**2 / 4
        return 2 + ((-(1 - t) + t / 4) / spread)[:, None] * (x - 2 * t[:, None])

    x0 = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(integrate(velocity, x0, steps=40, method="rk4")[-1], 2 + x0 / 2, atol=1e-5)


def test_loss_is_that_of_straight_lines():
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = FlowMatching(2, 1, hidden=(8,), sigma_min=0.1)
        x, c, w = torch.randn(64, 2), torch.randn(64, 1), torch.linspace(-1, 3, 64)
        torch.manual_seed(1)
        loss = float(model.loss(x, c, w))
        torch.manual_seed(1)
        x0, t = torch.randn_like(x), torch.rand(64)
        place = (1 - 0.9 * t[:, None]) * x0 + t[:, None] * x
        by_hand = (w * (model.velocity(place, t, c) - (x - 0.9 * x0)).square().mean(1)).mean()
        torch.manual_seed(1)
        bridge = model.loss(x, c, source=x0)
        torch.manual_seed(1)
        t = torch.rand(64)
        place = (1 - 0.9 * t[:, None]) * x0 + t[:, None] * x
        hand = (model.velocity(place, t, c) - (x - 0.9 * x0)).square().mean()
    assert loss == pytest.approx(float(by_hand), rel=1e-6)
    assert float(bridge) == pytest.approx(float(hand), rel=1e-6)


def _trained(epochs, seed=0):
    generator = torch.Generator().manual_seed(1)
    side = torch.randint(0, 2, (4000, 1), generator=generator).float() * 2 - 1
    x = side + 0.5 * torch.randn(4000, 1, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FlowMatching(1, hidden=(64, 64), frequencies=2).standardise(x)
    train, val = RowBatches(x[:3500], batch_size=250), RowBatches(x[3500:], batch_size=500)
    fit(model, lambda m, batch: m.loss(*batch), train, val, FitConfig(epochs=epochs, lr=1e-2, patience=None), seed=seed)
    return model


def _drawn(model, context, seed=2, **how):
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        return model.sample(context, **how)


def test_samples_are_those_of_a_known_mixture():
    def cumulative(x):
        return (norm.cdf(x, -1, 0.5) + norm.cdf(x, 1, 0.5)) / 2

    drawn = _drawn(_trained(60), 4000, steps=16)[:, 0].numpy()
    noise = 1.63 * np.sqrt(1 / 3500 + 1 / 4000)  # 1 % of the Kolmogorov distances of training data and draws
    assert kstest(drawn, cumulative).statistic < noise + 0.02
    assert kstest(drawn, "norm", args=(0, 1.25**0.5)).statistic > noise + 0.02  # one Gaussian as wide


def test_seeds_repeat_training_and_samples():
    first, again = _trained(1), _trained(1)
    assert torch.equal(_drawn(first, 10, steps=4), _drawn(again, 10, steps=4))
    assert not torch.equal(_drawn(first, 10, steps=4, seed=5), _drawn(again, 10, steps=4))
    assert _drawn(first, 10, source=torch.zeros(10, 1), steps=2, method="euler").shape == (10, 1)


def test_bad_input_is_refused():
    model = FlowMatching(2, 1, hidden=(8,))
    with pytest.raises(InputError, match="midpoint"):
        model.sample(torch.zeros(3, 1), method="midpont")
    with pytest.raises(InputError, match="steps=0"):
        model.sample(torch.zeros(3, 1), steps=0)
    with pytest.raises(InputError, match=r"source has shape \(3, 1\)"):
        model.loss(torch.zeros(3, 2), torch.zeros(3, 1), source=torch.zeros(3, 1))
    with pytest.raises(InputError, match="context has shape"):
        TimeNetwork(2, 1)(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3, 2))
    with pytest.raises(InputError, match="sigma_min=1"):
        FlowMatching(1, sigma_min=1.0)
