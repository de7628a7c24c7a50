"""An unchanged notebook with unchanged inputs runs only once: runs are kept under a hash of all they rest on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepml_nb.core import atomic_dir, cache_dir, code_hash, content_hash, imported_modules, lock, reached_code
from hepml_nb.runtime.datasets import identity
from hepml_nb.runtime.methods import method_modules, registered
from hepml_nb.runtime.notebooks import NotebookLike, code_cells, info, nbformat, read
from hepml_nb.runtime.provenance import versions

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Entry", "Key", "cache_key", "clear_runs", "entry", "holding", "results_key", "store"]

_SCIENCE = ("notebook", "parameters", "datasets", "code")
_KEEP = 20  # runs of one notebook
_DRAWING = ("core", "simulate", "data", "plots", "widgets", "runtime.session", "runtime.tables")
_PLUMBING = {"core", "data", "runtime", "plots", "widgets", "testing", "cli"}  # cannot change a result's meaning


@dataclass(frozen=True)
class Key:
    """What a run rests on, part by part, and the hash of it all."""

    parts: dict[str, Any]

    @property
    def hex(self) -> str:
        """The hash, 16 hex digits."""
        return content_hash(self.parts)

    def results(self) -> Key:
        """Return the part that the numbers rest on, without versions and drawing."""
        return Key({name: self.parts[name] for name in _SCIENCE})


@dataclass(frozen=True)
class Entry:
    """One kept run: the executed notebook and its sidecar."""

    folder: Path

    @property
    def executed(self) -> Path:
        """The executed notebook."""
        return self.folder / "executed.ipynb"

    @property
    def sidecar(self) -> Path:
        """Its metrics.json."""
        return self.folder / "metrics.json"

    def metrics(self) -> dict[str, Any]:
        """Return the sidecar's content."""
        content: dict[str, Any] = json.loads(self.sidecar.read_text(encoding="utf-8"))
        return content


def results_key(notebook: NotebookLike, values: Mapping[str, Any], profile: str) -> Key:
    """Return what the run's numbers rest on: code cells, parameters, datasets and the physics code it reaches.

    values: every parameter, as `validate` returns them. That code is what the cells import, and the registered methods
    of the topic that they name; all of them where the cells ask for `methods`. Comments, Markdown, formatting and
    library versions are left out, so that committed results go stale only for a reason.
    """
    node, about = read(notebook), info(notebook)
    return Key(
        {
            "notebook": content_hash([_meaning(cell.source) for cell in code_cells(node)]),
            "parameters": dict(values),
            "datasets": {name: identity(name, profile) for name in _datasets(node, values)},
            "code": _science(node, about.topic),
        }
    )


def cache_key(
    notebook: NotebookLike, values: Mapping[str, Any], profile: str, env: Mapping[str, str] | None = None
) -> Key:
    """Return what the whole executed copy rests on: `results_key`, every text, all other code and the versions."""
    node = read(notebook)
    texts = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in node.cells]
    return Key(
        {
            **results_key(notebook, values, profile).parts,
            "texts": content_hash([texts, node.metadata.get("hepml", {})]),
            "plumbing": {name: code_hash(f"hepml_nb.{name}") for name in _DRAWING},
            "versions": versions(),
            "env": dict(env or {}),
        }
    )


@contextmanager
def holding(notebook_id: str, key: Key, timeout: float = 86_400.0) -> Iterator[None]:
    """Hold the lock of one run, so that of several that want it one executes and the others read."""
    with lock(_folder(notebook_id) / f"{key.hex}.lock", timeout=timeout):
        yield


def entry(notebook_id: str, key: Key) -> Entry | None:
    """Return the kept run, or None; a damaged one is removed."""
    folder = _folder(notebook_id) / key.hex
    if not folder.exists():
        return None
    found = Entry(folder)
    try:
        seal = json.loads((folder / "seal.json").read_text(encoding="utf-8"))
        if seal == _seal(found):
            return found
    except (OSError, ValueError):
        pass  # as damaged as one whose seal does not fit
    shutil.rmtree(folder, ignore_errors=True)
    return None


def store(notebook_id: str, key: Key, node: NotebookNode, sidecar: Mapping[str, Any]) -> Entry:
    """Keep a run, whole or not at all; the oldest of this notebook beyond twenty are dropped."""
    folder = _folder(notebook_id) / key.hex
    with atomic_dir(folder) as aside:
        made = Entry(aside)
        made.executed.write_text(nbformat().writes(node), encoding="utf-8")
        made.sidecar.write_text(json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (aside / "seal.json").write_text(json.dumps(_seal(made)), encoding="utf-8")
    kept = [path.parent for path in folder.parent.glob("*/seal.json")]
    for old in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[_KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return Entry(folder)


def clear_runs(notebook: NotebookLike | None = None) -> int:
    """Remove the kept runs of one notebook, or of all; return how many there were."""
    folder = cache_dir() / "runs" if notebook is None else _folder(info(notebook).id)
    found = [path.parent for path in folder.rglob("seal.json")]
    for path in found:
        shutil.rmtree(path)
    return len(found)


def _folder(notebook_id: str) -> Path:
    return cache_dir() / "runs" / notebook_id.replace("/", "__")


def _seal(kept: Entry) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (kept.executed, kept.sidecar)}


def _meaning(source: str) -> str:
    """Return a cell's syntax tree as text, so that comments and layout do not count; magics stay text."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return source


def _science(node: NotebookNode, topic: str) -> dict[str, str]:
    """Return {package: hash} of the code that can change the meaning of what the cells record."""
    source = "\n".join(cell.source for cell in code_cells(node) if _parses(cell.source))
    tree = ast.parse(source)
    modules = imported_modules(tree)
    packages = {topic, "stats", "learn", *(name.split(".")[1] for name in modules)} - _PLUMBING
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    names = {getattr(node, "attr", None) or getattr(node, "name", None) for node in ast.walk(tree)}
    for package in packages:
        modules |= method_modules(package, words)
        modules |= {
            module for name, listed in registered(package).items() if name in names for module in listed.values()
        }
    within = [f"hepml_nb.{name}" for name in sorted(packages) if _exists(name)]
    found = reached_code(sorted(modules), within)
    return {package.removeprefix("hepml_nb."): code for package, code in found.items()}


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _exists(name: str) -> bool:
    spec = importlib.util.find_spec(f"hepml_nb.{name}") if name else None
    return spec is not None and spec.origin is not None


def _datasets(node: NotebookNode, values: Mapping[str, Any]) -> list[str]:
    named = set(node.metadata.get("hepml", {}).get("datasets", []))
    if isinstance(chosen := values.get("dataset"), str) and chosen:
        named.add(chosen)
    named |= {text for text in values.values() if isinstance(text, str) and text.startswith("/")}  # Path parameters
    return sorted(str(name) for name in named)
