"""Sets and batches: sums without padding are right, unordered and differentiable; every example comes exactly once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepml_nb.core import InputError, rng
from hepml_nb.learn import DeepSet, RowBatches, SetBatches, Standardise, jagged_batches, mlp, n_parameters, set_pool


def sets(n: int = 50, features: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.from_numpy(rng(seed, "lengths").integers(0, 9, n))
    values = torch.from_numpy(rng(seed, "values").normal(size=(int(lengths.sum()), features)))
    return values, lengths


def test_pooling_sums_every_set_and_gives_zeros_for_empty_ones():
    values, lengths = sets()
    expected = torch.stack([part.sum(0) for part in values.split(lengths.tolist())])
    torch.testing.assert_close(set_pool(values, lengths), expected)
    assert (set_pool(values, lengths)[lengths == 0] == 0).all()


def test_the_gradient_of_pooling_is_right():
    values, lengths = sets(n=6)
    assert torch.autograd.gradcheck(lambda x: set_pool(x, lengths), values.requires_grad_())


@pytest.mark.parametrize("change", [-1, +1])
def test_lengths_that_do_not_add_up_are_refused(change: int):
    values, lengths = sets()
    lengths[0] += change if lengths[0] else 1
    with pytest.raises(InputError, match=f"but x has {len(values)} rows"):
        set_pool(values, lengths)


def test_a_deep_set_agrees_with_its_padded_form_and_ignores_order():
    torch.manual_seed(0)
    model = DeepSet(3, (16, 8), (4,)).double()
    values, lengths = sets()
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    padded = values.new_zeros(*mask.shape, 3)
    padded[mask] = values
    expected = model.f((model.phi(padded) * mask[..., None]).sum(1))
    torch.testing.assert_close(model(values, lengths), expected)
    shuffled = torch.cat([p[torch.randperm(len(p))] for p in values.split(lengths.tolist())])
    torch.testing.assert_close(model(shuffled, lengths), expected)


def test_the_published_network_has_the_published_size():
    assert n_parameters(DeepSet(4, (100, 100, 256), (100, 100, 100))) == 82_457  # Phi 36,456 and F 46,001 by hand


def test_standardise_is_fitted_once_and_travels_with_the_weights():
    x = torch.from_numpy(rng(0, "x").normal(5, 3, (1000, 2)).astype("f4"))
    x = torch.cat([x, torch.full((1000, 1), 7.0)], 1)
    layer = Standardise(3).fit(x)
    out = layer(x)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0)[:2], torch.ones(2), atol=1e-3, rtol=0)
    assert (out[:, 2] == 0).all()  # constant: shifted, not divided by zero
    copy = Standardise(3)
    assert torch.equal(copy(x), x)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy(x), out)


def test_standardise_names_the_feature_that_is_not_finite():
    x = torch.zeros(5, 3)
    x[2, 1] = torch.inf
    with pytest.raises(InputError, match=r"feature\(s\) \[1\]"):
        Standardise(3).fit(x)
    with pytest.raises(InputError, match=r"expected \(n, 2\)"):
        Standardise(2).fit(x)


def test_an_mlp_needs_two_widths():
    with pytest.raises(InputError, match="at least an input and an output"):
        mlp([3])


@pytest.mark.parametrize("options", [{}, {"bucket": False}, {"budget": 300}, {"bucket": False, "budget": 300}])
def test_every_index_comes_exactly_once_and_the_order_follows_seed_and_epoch(options: dict[str, object]):
    lengths = rng(0, "lengths").integers(0, 100, 1234)
    first = jagged_batches(lengths, 10, seed=1, epoch=2, **options)
    assert sorted(np.concatenate(first)) == list(range(1234))
    assert all(0 < len(b) <= 10 for b in first)
    again = jagged_batches(lengths, 10, seed=1, epoch=2, **options)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for seed, epoch in ((1, 3), (2, 2)):
        other = np.concatenate(jagged_batches(lengths, 10, seed=seed, epoch=epoch, **options))
        assert not np.array_equal(np.concatenate(first), other)


def test_bucketed_batches_waste_little_padding():
    lengths = rng(0, "lengths").gamma(8, 6, 5000).astype(int)

    def waste(bucket: bool) -> float:
        padded = sum(len(b) * lengths[b].max() for b in jagged_batches(lengths, 64, bucket=bucket))
        return padded / lengths.sum() - 1

    assert waste(False) > 1.0
    assert waste(True) < 0.12


def test_a_budget_limits_the_padded_size():
    lengths = rng(0, "lengths").integers(1, 100, 1000)
    assert max(len(b) * lengths[b].max() for b in jagged_batches(lengths, 1000, budget=500)) <= 500
    plain = jagged_batches(lengths, 1000, bucket=False, budget=500)
    assert max(lengths[b].sum() for b in plain) <= 500


def test_nothing_gives_no_batches_and_nonsense_is_refused():
    assert jagged_batches([], 10) == []
    with pytest.raises(InputError, match="must be at least 1"):
        jagged_batches([1], 0)
    with pytest.raises(InputError, match="not negative"):
        jagged_batches([1, -1], 1)


@pytest.mark.parametrize("shuffle", [True, False])
def test_set_batches_keep_values_lengths_and_targets_together(shuffle: bool):
    lengths = rng(0, "lengths").integers(0, 5, 101)
    owner = np.repeat(np.arange(101), lengths)
    batches = SetBatches(owner[:, None].astype("f4"), lengths, np.arange(101), batch_size=8, seed=3, shuffle=shuffle)
    assert len(batches) == 13
    seen = []
    for values, n, targets in batches.epoch(1):
        assert values[:, 0].tolist() == torch.repeat_interleave(targets, n).tolist()
        assert n.tolist() == lengths[targets].tolist()
        seen += targets.tolist()
    assert sorted(seen) == list(range(101))
    assert (seen == list(range(101))) is (not shuffle)


def test_batches_of_unequal_tensors_are_refused():
    with pytest.raises(InputError, match=r"\[2, 3\] rows"):
        RowBatches(np.zeros(2), np.zeros(3))
    with pytest.raises(InputError, match="add up to 3"):
        SetBatches(np.zeros((4, 1)), [1, 2])
