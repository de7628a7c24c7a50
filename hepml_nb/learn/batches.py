"""Batches that depend on seed and epoch alone: of rows, and of sets whose sizes differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.core import InputError, rng

__all__ = ["RowBatches", "SetBatches", "jagged_batches"]

Indices = npt.NDArray[np.int64]


def jagged_batches(
    lengths: npt.ArrayLike,
    batch_size: int,
    seed: int = 0,
    *,
    epoch: int = 0,
    bucket: bool = True,
    budget: int | None = None,
    shuffle: bool = True,
) -> list[Indices]:
    """Split sets of the given lengths into batches of indices; every index appears exactly once.

    bucket: sets of like length share a batch (sorted within random pools of 32 batches), for networks that pad to the
    longest. Where the length tells the class apart, bucketed batches are lopsided: networks that do not pad should
    take bucket=False. budget: close a batch before its padded size (plain size where bucket=False) exceeds it.
    The order depends on `seed` and `epoch` only. Raises InputError for negative lengths or a batch_size below 1.
    """
    n_of = np.asarray(lengths, dtype=np.int64)
    if n_of.ndim != 1 or (n_of.size and n_of.min() < 0):
        raise InputError(f"lengths must be a list of counts that are not negative; got shape {n_of.shape}.")
    if batch_size < 1 or (budget is not None and budget < 1):
        raise InputError(f"batch_size={batch_size!r} and budget={budget!r} must be at least 1.")
    generator = rng(seed, "batches", epoch)
    order = generator.permutation(len(n_of)) if shuffle else np.arange(len(n_of))
    if bucket:
        pool = 32 * batch_size if shuffle else max(len(order), 1)
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        order = np.concatenate([p[np.argsort(n_of[p], kind="stable")] for p in pools]) if pools else order
    batches = _cut(order, n_of, batch_size, budget, padded=bucket)
    if bucket and shuffle:
        batches = [batches[i] for i in generator.permutation(len(batches))]
    return batches


def _cut(order: Indices, n_of: Indices, batch_size: int, budget: int | None, *, padded: bool) -> list[Indices]:
    if budget is None:
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    batches: list[Indices] = []
    start, longest, total = 0, 0, 0
    for i, n in enumerate(n_of[order].tolist()):
        longest, total = max(longest, n), total + n
        size = longest * (i - start + 1) if padded else total
        if i > start and (size > budget or i - start >= batch_size):
            batches.append(order[start:i])
            start, longest, total = i, n, n
    return [*batches, order[start:]] if len(order) else batches


class RowBatches:
    """Batches of equally long tensors, as tuples of rows.

    tensors: arrays of shape (n, ...), examples along the first axis. Iterate with `.epoch(i)`: the order of epoch i
    depends on `seed` and i only, so a resumed training sees what an uninterrupted one would have seen.
    """

    def __init__(self, *tensors: Any, batch_size: int = 256, seed: int = 0, shuffle: bool = True) -> None:
        self.tensors = tuple(torch.as_tensor(t) for t in tensors)
        sizes = {len(t) for t in self.tensors}
        if len(sizes) != 1 or 0 in sizes:
            raise InputError(f"tensors have {sorted(sizes)} rows; expected one length, at least 1.")
        self.lengths = np.zeros(sizes.pop(), dtype=np.int64)
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of one epoch."""
        for index in self._indices(epoch):
            yield self._take(torch.from_numpy(index))

    def _indices(self, epoch: int) -> list[Indices]:
        return jagged_batches(self.lengths, self.batch_size, self.seed, epoch=epoch, bucket=False, shuffle=self.shuffle)

    def _take(self, index: Tensor) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class SetBatches(RowBatches):
    """Batches of sets, as tuples (values, lengths, *targets) with the values of the batch's sets one after another.

    values: shape (sum of lengths, features). lengths: shape (n,). targets: arrays with n rows each.
    Raises InputError when the lengths do not add up.
    """

    def __init__(
        self, values: Any, lengths: Any, *targets: Any, batch_size: int = 256, seed: int = 0, shuffle: bool = True
    ) -> None:
        super().__init__(torch.as_tensor(lengths, dtype=torch.int64), *targets,
                         batch_size=batch_size, seed=seed, shuffle=shuffle)  # fmt: skip
        self.values = torch.as_tensor(values)
        self.lengths = self.tensors[0].numpy()
        self.starts = torch.from_numpy(np.cumsum(self.lengths) - self.lengths)
        if self.lengths.min() < 0 or int(self.lengths.sum()) != len(self.values):
            raise InputError(f"lengths add up to {int(self.lengths.sum())}, but values has {len(self.values)} rows.")

    def _take(self, index: Tensor) -> tuple[Tensor, ...]:
        lengths, *targets = super()._take(index)
        if not self.shuffle:  # the sets of an unshuffled batch lie side by side already: a view
            first, last = int(index[0]), int(index[-1])
            start, end = int(self.starts[first]), int(self.starts[last] + self.lengths[last])
            return (self.values[start:end], lengths, *targets)
        shift = self.starts[index] - (torch.cumsum(lengths, 0) - lengths)
        rows = torch.arange(int(lengths.sum())) + torch.repeat_interleave(shift, lengths)
        return (self.values[rows], lengths, *targets)
