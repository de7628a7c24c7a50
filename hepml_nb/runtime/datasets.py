"""What runs rest on: the identity of a dataset before it is loaded, and the provenance of those that were."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from hepml_nb.core import NotFound

__all__ = ["identity", "loaded"]


def identity(name: str, profile: str) -> str:
    """Return what stands for the content that `data.load(name, profile)` would give here, without making or reading it.

    name: a manifest, or an absolute path of a file (its bytes then). "unknown" where there is no such dataset, so
    that the notebook itself says so.
    """
    if Path(name).is_absolute():
        return _file(Path(name))
    from hepml_nb import data

    try:
        return data.identity(name, profile)
    except NotFound:
        return "unknown"


def loaded() -> list[dict[str, Any]]:
    """Return the provenance of every dataset that a variable of the running notebook holds."""
    if "hepml_nb.data.dataset" not in sys.modules or "IPython" not in sys.modules:
        return []
    from IPython.core.getipython import get_ipython

    from hepml_nb.data import Dataset

    shell = get_ipython()
    values = list(shell.user_ns.values()) if shell is not None else []
    found = {one.identity: one for one in values if isinstance(one, Dataset)}
    return [{"name": one.name, "profile": one.profile, **one.provenance} for one in found.values()]


def _file(path: Path) -> str:
    if not path.is_file():
        return "missing"
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
