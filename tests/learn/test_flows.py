"""Conditional spline flows: exact in both directions, normalised, trainable, and clear about bad input."""

import numpy as np
import pytest
import torch

from hepml_nb.core import InputError
from hepml_nb.learn import ConditionalFlow, FitConfig, RowBatches, fit


def _flow(kind="coupling", features=3, context=2, seed=0, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = ConditionalFlow(features, context, kind=kind, hidden=(16,), **settings).double()
        flow.standardise(
            torch.randn(50, features).double() * 3 + 1, torch.randn(50, context).double() if context else None
        )
    return flow


def _rows(n=40, features=3, context=2):
    generator = torch.Generator().manual_seed(1)
    draw = lambda d: torch.randn(n, d, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(features) * 3 + 1, draw(context)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
@pytest.mark.parametrize("features", [1, 3])
def test_decode_is_the_inverse_of_encode(kind, features):
    flow = _flow(kind, features)
    x, context = _rows(features=features)
    z, _ = flow.encode(x, context)
    assert torch.allclose(flow.decode(z, context), x, atol=1e-8, rtol=0)
    assert not torch.allclose(flow.encode(x, context + 1)[0], z)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_log_determinant_is_that_of_the_jacobian(kind):
    flow = _flow(kind)
    x, context = _rows(n=5)
    _, log_det = flow.encode(x, context)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda row, i=i: flow.encode(row[None], context[i : i + 1])[0][0], x[i]
        )
        assert torch.linalg.slogdet(jacobian)[1] == pytest.approx(float(log_det[i].detach()), abs=1e-9)


def test_density_is_normalised_in_the_units_of_x():
    flow = _flow(features=1, context=1)
    x = torch.linspace(-40, 40, 20001, dtype=torch.float64)[:, None]
    density = flow.log_prob(x, torch.full_like(x, 0.7)).exp().detach()
    assert float(torch.trapezoid(density, x[:, 0])) == pytest.approx(1, abs=1e-5)


def test_samples_have_the_density_that_is_stated():
    flow = _flow(features=1, context=0)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        x = flow.sample(20_000).detach().numpy()[:, 0]
    edges = np.quantile(x, [0.1, 0.3, 0.5, 0.7, 0.9])
    grid = torch.linspace(-60, float(edges[-1]), 40001, dtype=torch.float64)[:, None]
    cumulative = torch.cumulative_trapezoid(flow.log_prob(grid).exp().detach(), grid[:, 0]).numpy()
    expected = np.interp(edges, grid[1:, 0].numpy(), cumulative)
    assert np.abs(expected - [0.1, 0.3, 0.5, 0.7, 0.9]).max() < 4 * 0.5 / np.sqrt(20_000)


def _trained(seed=0, epochs=12):
    generator = torch.Generator().manual_seed(5)
    context = torch.randn(3000, 1, generator=generator)
    x = 2 * context + 3 + 0.5 * torch.randn(3000, 1, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = ConditionalFlow(1, 1, transforms=2, hidden=(32,)).standardise(x, context)
    batches = [RowBatches(x[part], context[part], batch_size=100) for part in (slice(2500), slice(2500, None))]
    fit(flow, lambda model, batch: model.loss(*batch), *batches, FitConfig(epochs=epochs, lr=3e-3), seed=seed)
    return flow


def test_a_trained_flow_has_the_density_of_a_known_gaussian_and_repeats_by_seed():
    flow, again, other = _trained(), _trained(epochs=2), _trained(epochs=2)
    c = torch.linspace(-1.5, 1.5, 7)[:, None].repeat_interleave(400, 0)
    with torch.no_grad():
        x = 2 * c + 3 + 0.5 * torch.randn(len(c), 1, generator=torch.Generator().manual_seed(8))
        exact = -0.5 * ((x - 2 * c - 3) / 0.5).square()[:, 0] - np.log(0.5 * np.sqrt(2 * np.pi))
        lost = exact - flow.log_prob(x, c)  # its mean is the Kullback-Leibler divergence, some p / 2n for p parameters
    assert abs(float(lost.mean())) < 0.02
    for a, b in zip(again.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_negative_weights_cancel_positive_ones():
    flow = _flow()
    x, context = _rows()
    weights = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(20)
    doubled = flow.loss(x[::2].repeat_interleave(2, 0), context[::2].repeat_interleave(2, 0), weights)
    assert float(doubled.detach()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ConditionalFlow(2, kind="coupled"), "coupling"),
        (lambda: ConditionalFlow(0), "features=0"),
        (lambda: _flow().log_prob(torch.zeros(4, 3).double()), "context has nothing"),
        (lambda: _flow().log_prob(torch.zeros(4, 2).double(), torch.zeros(4, 2).double()), "(4, 2); expected (n, 3)"),
        (lambda: _flow(context=0).log_prob(torch.zeros(4, 3).double(), torch.zeros(4, 2).double()), "context=0"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)
