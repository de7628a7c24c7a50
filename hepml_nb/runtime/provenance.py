"""Where a number comes from: revision and versions; and what must not leave with it: the paths of this machine."""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepml_nb.core import NotFound, repo_root

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["hide_paths", "revision", "scrub", "versions"]

# what a physics number may depend on beyond our own code
_LIBRARIES = (
    "hepml-nb", "numpy", "scipy", "awkward", "torch", "scikit-learn", "pythia8mc", "fastjet", "coffea", "hist",
    "mplhep", "matplotlib", "vector", "pyarrow",
)  # fmt: skip
_CELL_FILE = re.compile(r"\S*/ipykernel_\d+/\d+\.py")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on, those installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def revision() -> str:
    """Return the checkout's git commit, with "+changes" when tracked files differ; "unknown" without git."""
    try:
        root = repo_root()
        commit = _git(root, "rev-parse", "HEAD")
        if not commit:
            return "unknown"
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (NotFound, OSError, subprocess.SubprocessError):
        return "unknown"


def scrub(node: NotebookNode, *folders: Path) -> NotebookNode:
    """Remove papermill's marks, timestamps and this machine's paths from an executed notebook, in place."""
    node.metadata.pop("papermill", None)
    for cell in node.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell["outputs"] = hide_paths(cell.get("outputs", []), *folders)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["source"] = hide_paths(cell.source, *folders)
    node.cells = [cell for cell in node.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    return node


def hide_paths(value: Any, *folders: Path) -> Any:
    """Return the same JSON with the folders, the checkout, the interpreter and the home folder written short."""
    names = {str(folder): "." for folder in folders}
    with contextlib.suppress(NotFound):
        names.setdefault(str(repo_root()), "hepml-nb")
    # "/usr" and "/" are nobody's secret, and would eat every path
    names |= {prefix: "<python>" for prefix in (sys.prefix, sys.base_prefix) if len(Path(prefix).parts) > 2}
    names |= {str(home): "~" for home in [Path.home()] if len(home.parts) > 1}
    return _replace(value, sorted(names.items(), key=lambda pair: -len(pair[0])))  # longest first: one may hold another


def _replace(value: Any, pairs: list[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        if "/" not in value:
            return value
        for path, short in pairs:
            value = value.replace(path, short)
        return _CELL_FILE.sub("<cell>", value)
    if isinstance(value, Mapping):
        # pictures are long base64 texts without a path in them
        made = {k: v if str(k).startswith("image/") else _replace(v, pairs) for k, v in value.items()}
        kind: Any = type(value)  # a NotebookNode stays one
        return kind(made)
    return [_replace(one, pairs) for one in value] if isinstance(value, list) else value


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
