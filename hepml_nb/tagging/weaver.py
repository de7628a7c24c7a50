"""Weights of weaver-core's networks under our names, so that what was trained there is scored here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hepml_nb.core import InputError

__all__ = ["part_state", "particlenet_state"]


def particlenet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ParticleNetNetwork's state for weaver-core's ParticleNet(use_fusion=False) with two outputs.

    Its two logits become their difference (signal second), which is the log odds.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part == "bn_fts":
            out[f"norm.{rest}"] = value
        elif part == "edge_convs":
            block, kind, *tail = rest.split(".")
            weight = value.flatten(1) if value.ndim > 2 else value
            place = {"sc": "shortcut", "sc_bn": "shortcut_norm"}.get(kind)
            if place is not None:
                name = f"{place}.{'.'.join(tail)}"
            elif kind == "bns":
                name = f"rest.norms.{'.'.join(tail)}"
            else:
                name = "first.weight" if tail[0] == "0" else f"rest.maps.{int(tail[0]) - 1}.weight"
            out[f"blocks.{block}.{name}"] = weight
        elif part == "fc":
            layer, *tail = rest.split(".")
            out[f"head.{0 if layer == '0' else 3}.{tail[-1]}"] = value if layer == "0" else value[1:] - value[:1]
        else:
            raise InputError(f"{name!r} does not belong to a ParticleNet without fusion; build it use_fusion=False.")
    return out


_BLOCK = {
    "pre_attn_norm": "before", "post_attn_norm": "after", "attn.in_proj": "attention.project",
    "attn.out_proj": "attention.out", "pre_fc_norm": "before_wide", "post_fc_norm": "after_wide",
    "fc1": "wide", "fc2": "narrow",
}  # fmt: skip
_WHOLE = {"c_attn": "head_scale", "w_resid": "residual_scale"}


def part_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ParTNetwork's state for weaver-core's ParticleTransformer (version 1) with two outputs.

    Its two logits become their difference (signal second), which is the log odds. The biases of its convolutions of
    the pairs shift what a batch normalisation centres, so they go into the running means.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part in ("blocks", "cls_blocks"):
            number, _, inner = rest.partition(".")
            where, _, kind = inner.rpartition(".")
            new = _WHOLE.get(inner) or f"{_BLOCK[where]}.{kind}"
            out[f"{'blocks' if part == 'blocks' else 'class_blocks'}.{number}.{new}"] = value
        elif part == "embed":
            where = "norm" if rest.startswith("input_bn") else "embed." + rest.split(".")[1]
            out[f"{where}.{rest.rpartition('.')[2]}"] = value
        elif part == "pair_embed":
            _, number, kind = rest.split(".")
            layer, place = divmod(int(number) - 1, 3)
            if int(number) == 0:
                out[f"pairs.norm.{kind}"] = value
            elif place == 1:
                shift = state[f"pair_embed.embed.{int(number) - 1}.bias"] if kind == "running_mean" else 0
                out[f"pairs.rest.norms.{layer}.{kind}"] = value - shift
            elif kind == "weight":
                out["pairs.first.weight" if layer == 0 else f"pairs.rest.maps.{layer - 1}.weight"] = value.flatten(1)
        elif part == "cls_token":
            out["token"] = value.flatten()
        elif part == "norm":
            out[f"head.0.{rest}"] = value
        elif name in ("fc.0.weight", "fc.0.bias"):
            out[f"head.1.{rest[2:]}"] = value[1:] - value[:1]
        else:
            raise InputError(f"{name!r} does not belong to a ParticleTransformer of version 1 with fc_params=().")
    return out
