"""Linear maps, batch normalisation and activation over very many rows, computed in pieces that stay in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hepml_nb.core import InputError, suggest

__all__ = ["NormedStack"]

Activation = Literal["relu", "gelu"]

_PIECE = 2**18  # numbers per piece, 1 MiB in float32: measured best on cores with 0.5 to 2 MiB of cache


class NormedStack(nn.Module):
    """act(norm(z)), a linear map, act(norm(.)), ... over rows z that a first linear map gave, shape (rows, widths[0]).

    What one would write with nn.Linear, nn.BatchNorm1d and an activation, and the same numbers; but those pass over
    the main memory some twenty times per layer, and here everything between two matrix products happens in a piece
    that fits the cache, forward and backward: nothing but the outputs of the linear maps is kept.
    widths: of z and of every further linear map (they have no bias: the normalisation would take it away).
    group: the result is the mean over so many consecutive rows. activated: whether the last norm has an activation.
    In training the statistics are those of all rows given, and the running ones follow with momentum 0.1.
    """

    def __init__(
        self, widths: Sequence[int], *, group: int = 1, activation: Activation = "relu", activated: bool = True
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise InputError(f"activation={activation!r} is unknown{suggest(str(activation), get_args(Activation))}")
        if not widths or min(widths) < 1 or group < 1:
            raise InputError(f"widths={tuple(widths)!r}, group={group!r}; expected positive numbers.")
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.maps = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths))
        self.group, self.activation, self.activated = group, activation, activated

    def forward(self, z: Tensor) -> Tensor:
        """Map z (rows, widths[0]) to (rows / group, widths[-1]), in the precision of the weights, autocast or not."""
        first: Any = self.norms[0]
        with torch.autocast(z.device.type, enabled=False):
            return self._map(z.to(first.weight.dtype))

    def _map(self, z: Tensor) -> Tensor:
        maps: list[Any] = list(self.maps)
        norms: list[Any] = list(self.norms)
        weights = [linear.weight for linear in maps]
        if not self.training:
            return self._folded(z, weights)
        style = (self.group, self.activation, self.activated, float(norms[0].eps))
        affine = [norm.weight for norm in norms] + [norm.bias for norm in norms]
        out, *moments = _Stack.apply(z, style, *affine, *weights)  # type: ignore[no-untyped-call]
        self._follow(moments, len(z))
        return out  # type: ignore[no-any-return]

    def _folded(self, z: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Take the running statistics into the linear maps, and let every piece pass through all layers at once."""
        norms: list[Any] = list(self.norms)
        scales, shifts = zip(*(_affine(norm) for norm in norms), strict=True)
        folded = [(weight * scale[:, None]).t() for weight, scale in zip(weights, scales[1:], strict=True)]
        act, last, parts = _ACT[self.activation][0], len(folded), []
        for rows in _pieces(z, self.group):
            y = torch.addcmul(shifts[0], z[rows], scales[0])
            for i, (weight, shift) in enumerate(zip(folded, shifts[1:], strict=True)):
                y = torch.addmm(shift, act(y) if i or self.activated or last else y, weight)
            y = act(y) if self.activated else y
            parts.append(y.view(-1, self.group, y.shape[1]).mean(1) if self.group > 1 else y)
        return torch.cat(parts)

    def _follow(self, moments: Sequence[Tensor], rows: int) -> None:
        for norm, mean, var in zip(self.norms, moments[::2], moments[1::2], strict=True):
            n: Any = norm
            n.num_batches_tracked += 1
            n.running_mean.lerp_(mean.detach(), n.momentum)
            n.running_var.lerp_(var.detach() * (rows / max(rows - 1, 1)), n.momentum)


def _relu_back(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(grad, x, 0)  # type: ignore[no-any-return]


def _gelu_back(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward(grad, x)  # type: ignore[no-any-return]


_ACT: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, _relu_back),
    "gelu": (nn.functional.gelu, _gelu_back),
}


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch normalisation with its running statistics."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _pieces(z: Tensor, group: int) -> Iterator[slice]:
    """Cut the rows into pieces of about _PIECE numbers, whole groups each."""
    step = max(_PIECE // z.shape[1] // group, 1) * group
    for start in range(0, max(len(z), 1), step):
        yield slice(start, start + step)


class _Moments:
    """Mean and variance per column, gathered piece by piece (Chan's update), in float64."""

    def __init__(self) -> None:
        self.n, self.mean, self.squares = 0, torch.zeros(()).double(), torch.zeros(()).double()

    def add(self, piece: Tensor) -> None:
        mean = piece.mean(0)
        squares = (piece - mean).square_().sum(0).double()
        n, delta = len(piece), mean.double() - self.mean
        total = self.n + n
        self.mean = self.mean + delta * (n / total)
        self.squares = self.squares + squares + delta.square() * (self.n * n / total)
        self.n = total

    def result(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.to(like.dtype), (self.squares / self.n).to(like.dtype)


class _Stack(torch.autograd.Function):
    """The stack in training. Kept for backward: the outputs z of all linear maps and their statistics."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, style: tuple[int, str, bool, float], *params: Tensor) -> tuple[Tensor, ...]:
        group, activation, activated, eps = style
        depth = (len(params) + 1) // 3
        gammas, betas, weights = params[:depth], params[depth : 2 * depth], params[2 * depth :]
        act, zs, stats = _ACT[activation][0], [z], []
        seen = _Moments()
        for rows in _pieces(z, group):
            seen.add(z[rows])
        scale = shift = z
        for i in range(depth):
            mean, var = seen.result(z)
            inverse = torch.rsqrt(var + eps)
            scale = gammas[i] * inverse
            shift = betas[i] - mean * scale
            stats += [mean, var, inverse]
            if i == depth - 1:
                break
            seen, out = _Moments(), z.new_empty(len(z), len(weights[i]))
            for rows in _pieces(z, group):
                torch.mm(act(torch.addcmul(shift, zs[i][rows], scale)), weights[i].t(), out=out[rows])
                seen.add(out[rows])
            zs.append(out)
        result = z.new_empty(len(z) // group, zs[-1].shape[1])
        for rows in _pieces(zs[-1], group):
            y = torch.addcmul(shift, zs[-1][rows], scale)
            y = act(y) if activated else y
            result[rows.start // group : rows.stop // group] = y.view(-1, group, y.shape[1]).mean(1)
        ctx.save_for_backward(*zs, *stats, *params)
        ctx.style, ctx.depth = style, depth
        moments = [m for i in range(depth) for m in stats[3 * i : 3 * i + 2]]
        ctx.mark_non_differentiable(*moments)
        return result, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (group, activation, activated, _eps), depth = ctx.style, ctx.depth
        saved = ctx.saved_tensors
        zs, stats, params = saved[:depth], saved[depth : 4 * depth], saved[4 * depth :]
        act, back = _ACT[activation]
        d_gamma, d_beta = [grad] * depth, [grad] * depth
        d_weight = [torch.zeros_like(w) for w in params[2 * depth :]]
        above: tuple[Tensor, ...] = ()
        below = grad
        for i in reversed(range(depth)):
            z, (mean, _var, inverse) = zs[i], stats[3 * i : 3 * i + 3]
            scale = params[i] * inverse
            shift = params[depth + i] - mean * scale
            sums = torch.zeros(2, z.shape[1], dtype=torch.float64, device=z.device)
            kept = torch.empty_like(z)
            for rows in _pieces(z, group):
                x = torch.addcmul(shift, z[rows], scale)
                if i == depth - 1:
                    g = (grad[rows.start // group : rows.stop // group] / group).repeat_interleave(group, 0)
                else:
                    g_next = _through_norm(below[rows], zs[i + 1][rows], above)
                    d_weight[i].addmm_(g_next.t(), act(x))
                    g = g_next @ params[2 * depth + i]
                g = back(g, x) if activated or i < depth - 1 else g
                kept[rows] = g
                sums[0] += g.sum(0)
                sums[1] += g.mul_(z[rows]).sum(0)
            total, product = sums.to(z.dtype)
            d_beta[i], d_gamma[i] = total, (product - mean * total) * inverse
            slope = -scale * inverse * d_gamma[i] / len(z)
            above, below = (scale, slope, -(scale * total / len(z) + slope * mean)), kept
        for rows in _pieces(zs[0], group):
            below[rows] = _through_norm(below[rows], zs[0][rows], above)
        return below, None, *d_gamma, *d_beta, *d_weight


def _through_norm(grad: Tensor, z: Tensor, above: tuple[Tensor, ...]) -> Tensor:
    """Return the gradient before a batch normalisation, from the one after it: linear in it and in z."""
    scale, slope, constant = above
    return torch.addcmul(constant, z, slope).addcmul_(grad, scale)
