"""Padding keeps every member and its gradient; buckets keep every set once and say where it went."""

import numpy as np
import pytest
import torch

from hepml_nb.core import InputError, rng
from hepml_nb.learn import BucketBatches, pad, unpad


def test_padding_and_back_is_the_identity_with_its_gradient():
    lengths = torch.tensor([3, 1, 0, 2])
    values = torch.arange(12.0).reshape(6, 2).requires_grad_()
    block, mask = pad(values, lengths)
    assert block.shape == (4, 3, 2)
    assert mask.sum(1).tolist() == lengths.tolist()
    assert torch.equal(unpad(block, mask), values)
    (block**2).sum().backward()
    assert torch.equal(values.grad, 2 * values.detach())


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(InputError, match="add up to 5, but values has 6 rows"):
        pad(torch.zeros(6, 2), torch.tensor([3, 2]))


def test_buckets_hold_every_set_once_with_its_members_and_pad_little():
    lengths = rng(0).integers(1, 100, 1000)
    owner = np.repeat(np.arange(1000), lengths)
    batches = BucketBatches(owner[:, None].astype("f4"), lengths, np.arange(1000), batch_size=32, seed=1)
    seen, padded = [], 0
    for values, size, index in batches.epoch(0):
        assert torch.equal(values[:, 0].long(), torch.repeat_interleave(index, size))
        assert size.tolist() == lengths[index].tolist()
        seen += index.tolist()
        padded += int(size.max()) * len(size)
    assert sorted(seen) == list(range(1000))
    assert padded < 1.1 * lengths.sum()
    assert batches.order().tolist() == seen
    assert batches.order(1).tolist() != seen


def test_sets_of_unshuffled_buckets_are_sorted_by_size():
    lengths = rng(0).integers(1, 100, 500)
    order = BucketBatches(np.zeros((lengths.sum(), 1), "f4"), lengths, shuffle=False).order()
    assert (np.diff(lengths[order]) >= 0).all()
