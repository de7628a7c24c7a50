"""The stack that works in pieces gives what torch's own layers give, forward and backward."""

import copy
import itertools

import pytest
import torch
from torch import nn

from hepml_nb.core import InputError
from hepml_nb.learn import normed
from hepml_nb.learn.normed import NormedStack


def plain(stack, z):
    """The same with nn.BatchNorm1d, nn.Linear and the activation, one after another."""
    act = nn.functional.relu if stack.activation == "relu" else nn.functional.gelu
    y = stack.norms[0](z)
    for linear, norm in zip(stack.maps, itertools.islice(stack.norms, 1, None), strict=True):
        y = norm(linear(act(y)))
    y = act(y) if stack.activated else y
    return y.view(-1, stack.group, y.shape[1]).mean(1)


def make(widths, **style):
    torch.manual_seed(1)
    stack = NormedStack(widths, **style).double()
    with torch.no_grad():
        for norm in stack.norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
    return stack, copy.deepcopy(stack)


@pytest.mark.parametrize("widths", [(5,), (5, 6, 7)])
@pytest.mark.parametrize(("group", "activation", "activated"), [(4, "relu", True), (1, "gelu", False)])
def test_outputs_gradients_and_running_statistics_are_those_of_torch(monkeypatch, widths, group, activation, activated):
    monkeypatch.setattr(normed, "_PIECE", 64)  # many pieces, the last one shorter
    ours, theirs = make(widths, group=group, activation=activation, activated=activated)
    z = torch.randn(52, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(52 // group, widths[-1], dtype=torch.float64)
    outs = ours(z), plain(theirs, z)
    torch.testing.assert_close(*outs)
    grads = [
        torch.autograd.grad((o * weight).sum(), [z, *m.parameters()]) for o, m in zip(outs, (ours, theirs), strict=True)
    ]
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(list(ours.buffers()), list(theirs.buffers()))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(z), plain(theirs, z))
    grads = [torch.autograd.grad(o.sum(), z) for o in (ours(z), plain(theirs, z))]
    torch.testing.assert_close(*grads)


def test_autocast_leaves_the_precision_alone():
    stack, _ = make((5, 6))
    z = torch.randn(12, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = stack.float()(z.bfloat16())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, stack(z.bfloat16().float()))


def test_unknown_activations_and_empty_stacks_are_refused():
    with pytest.raises(InputError, match=r"'rel' is unknown.*relu"):
        NormedStack((3, 4), activation="rel")
    with pytest.raises(InputError, match="positive"):
        NormedStack(())
