"""Checkpoints hold tensors and plain numbers only (safetensors), and refuse another training's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hepml_nb.core import InputError, atomic_write

__all__ = ["Groups", "read_tensors", "write_tensors"]

Groups = dict[str, dict[str, Tensor]]

_SCHEMA = 1


def write_tensors(path: Path, groups: Groups, info: dict[str, Any]) -> None:
    """Write named groups of named tensors with `info` (anything JSON can hold) (complete, or not at all)."""
    # copies: tied weights would share memory, which the format forbids
    flat = {
        f"{g}/{name}": t.detach().cpu().contiguous().clone() for g, group in groups.items() for name, t in group.items()
    }
    with atomic_write(path, "wb") as stream:
        stream.write(save(flat, metadata={"hepml_nb": json.dumps({"schema": _SCHEMA, **info})}))


def read_tensors(path: Path) -> tuple[Groups, dict[str, Any]]:
    """Return the groups and the info of a file that `write_tensors` made; raise InputError for any other file."""
    groups: Groups = {}
    try:
        with safe_open(path, framework="pt") as stream:
            info = json.loads((stream.metadata() or {}).get("hepml_nb", "{}"))
            for key in stream.keys():  # noqa: SIM118 - not a dict
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = stream.get_tensor(key)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}. Delete it to start anew.") from error
    if info.pop("schema", None) != _SCHEMA:
        raise InputError(f"{path} is not a checkpoint of this version (schema {_SCHEMA}); delete it to start anew.")
    return groups, info
