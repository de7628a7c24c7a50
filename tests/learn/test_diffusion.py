"""Denoising diffusion: the schedules, the samplers with an exact denoiser, and a trained one."""

import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn import Diffusion, FitConfig, RowBatches, denoise, fit, signal_share

WIDTH = 0.5


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [100, 1000])
def test_schedules_fall_from_all_to_almost_nothing(schedule, steps):
    share = signal_share(steps, schedule)
    assert share.shape == (steps + 1,)
    assert share[0] == 1
    assert (share.diff() <= 0).all()
    assert 4e-5 <= share[-1] < 1e-4


def test_the_linear_schedule_is_the_papers():
    beta = 1 - signal_share(1000, "linear")[1:] / signal_share(1000, "linear")[:-1]
    assert float(beta[0]) == pytest.approx(1e-4)
    assert float(beta[-1]) == pytest.approx(0.02)


@pytest.mark.parametrize(("eta", "steps"), [(1.0, None), (0.5, 500), (0.0, 200)])
def test_samplers_with_the_exact_denoiser_end_at_the_data(eta, steps):
    share = signal_share(1000, "linear")

    def noise(x, step):  # of data N(0, WIDTH^2): E[noise | x_t] is linear in x_t
        a = share[step][:, None]
        return (1 - a).sqrt() / (a * WIDTH**2 + 1 - a) * x

    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = denoise(noise, torch.randn(20_000, 1, dtype=torch.float64), share, steps=steps, eta=eta)
    assert float(x.std()) == pytest.approx(WIDTH, rel=0.02)  # statistics 0.5 %, the steps about 1 %
    assert abs(float(x.mean())) < 4 * WIDTH / np.sqrt(20_000)


def test_ddim_is_deterministic_and_ancestral_sampling_is_not():
    share, start = signal_share(50, "linear"), torch.ones(4, 1)
    noise = lambda x, step: 0.9 * x  # noqa: E731
    assert torch.equal(denoise(noise, start, share, eta=0.0), denoise(noise, start, share, eta=0.0))
    assert not torch.equal(denoise(noise, start, share), denoise(noise, start, share))


def _trained(epochs, seed=0):
    generator = torch.Generator().manual_seed(5)
    c = torch.randn(3000, 1, generator=generator)
    x = 2 * c + 3 + WIDTH * torch.randn(3000, 1, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Diffusion(1, 1, steps=200, schedule="linear", hidden=(64, 64)).standardise(x, c)
    train = RowBatches(x[:2500], c[:2500], batch_size=250)
    val = RowBatches(x[2500:].repeat(10, 1), c[2500:].repeat(10, 1), batch_size=5000)  # ten noises for each row
    fit(model, lambda m, batch: m.loss(*batch), train, val, FitConfig(epochs=epochs, lr=1e-2, patience=None), seed=seed)
    return model


@pytest.fixture(scope="module")
def trained():
    return _trained(100)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_trained_network_draws_a_known_conditional_gaussian(eta, trained):
    c = torch.linspace(-1, 1, 4)[:, None].repeat_interleave(1000, 0)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(2)
        apart = (trained.sample(c, steps=100, eta=eta) - 2 * c - 3).view(4, 1000)
    assert apart.mean(1).abs().max() < 0.15 * WIDTH
    assert (apart.std(1) / WIDTH - 1).abs().max() < 0.15


def test_seeds_repeat_and_shapes_hold():
    first, again = _trained(1), _trained(1)
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert Diffusion(3, steps=10).sample(7).shape == (7, 3)


def test_bad_input_is_refused():
    model = Diffusion(2, 1, steps=10, hidden=(4,))
    with pytest.raises(InputError, match="cosine"):
        signal_share(10, "cosin")
    with pytest.raises(InputError, match="steps=11"):
        model.sample(torch.zeros(2, 1), steps=11)
    with pytest.raises(InputError, match="eta=2"):
        model.sample(torch.zeros(2, 1), eta=2.0)
    with pytest.raises(InputError, match="context has shape"):
        model.loss(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(InputError, match="features=0"):
        Diffusion(0)
