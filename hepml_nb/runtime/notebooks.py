"""Which notebooks there are, and how one is named, found and read."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hepml_nb.core import InputError, NotFound, notebooks_dir, suggest

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Info", "NotebookLike", "code_cells", "discover", "find", "has_tag", "info", "nbformat", "read"]

NotebookLike: TypeAlias = "str | Path | NotebookNode"

_NO_NOTEBOOKS = {"results", "sweeps"}


@dataclass(frozen=True)
class Info:
    """What a notebook says about itself: its id (`topic/slug`), its file and its metadata `hepml`."""

    id: str
    topic: str
    slug: str
    path: Path | None
    title: str = ""
    kind: str = "lesson"
    datasets: tuple[str, ...] = ()
    minutes: dict[str, float] = field(default_factory=dict)
    mib: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)


def discover() -> list[str]:
    """Return the ids of all notebooks, the index first; [] where there is no notebooks/ folder."""
    root = notebooks_dir()
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.ipynb")]
    ids = [p.as_posix() for p in paths if not any(part in _NO_NOTEBOOKS or part.startswith(".") for part in p.parts)]
    return sorted(ids, key=lambda name: (name != "index", name))


def find(name: str | Path) -> Path:
    """Return the file of a notebook given by id, by a unique prefix (`tagging/02`) or by path.

    Raises NotFound with the nearest id, InputError when a prefix fits several.
    """
    path = Path(name)
    if path.suffix == ".ipynb":
        if path.is_file():
            return path.resolve()
        if (notebooks_dir() / path).is_file():
            return notebooks_dir() / path
        raise NotFound(f"there is no file {str(name)!r}; `hepml-nb list` shows the notebooks.")
    known, text = discover(), str(name)
    fitting = [text] if text in known else [one for one in known if one.startswith(text)]
    if len(fitting) > 1:
        raise InputError(f"{text!r} fits several notebooks: {', '.join(fitting)}; add a few letters.")
    if not fitting:
        raise NotFound(f"there is no notebook {text!r}{suggest(text, known)}")
    return notebooks_dir() / f"{fitting[0]}.ipynb"


def read(notebook: NotebookLike) -> NotebookNode:
    """Return the notebook as nbformat 4, a copy that may be changed; raises InputError for a file that is none."""
    if isinstance(notebook, dict):
        return copy.deepcopy(notebook)
    path, library = find(notebook), nbformat()
    try:
        node: NotebookNode = library.reads(json.dumps(_raw(path)), as_version=4)
    except (library.ValidationError, AttributeError, TypeError, KeyError) as error:
        raise InputError(f"{path.name} is not a Jupyter notebook: {str(error).splitlines()[0]}") from error
    return node


def info(notebook: NotebookLike) -> Info:
    """Return what the notebook says about itself; a notebook in memory may carry its id in `hepml.id`."""
    path = None if isinstance(notebook, dict) else find(notebook)
    raw = notebook if isinstance(notebook, dict) else _raw(path or Path())
    meta = dict(raw["metadata"].get("hepml", {}))
    name = _id_of(path) if path else str(meta.get("id", "notebook"))
    folder, _, slug = name.rpartition("/")
    return Info(
        id=name,
        topic=str(meta.get("topic", folder.partition("/")[0])),
        slug=slug,
        path=path,
        title=str(meta.get("title", slug)),
        kind=str(meta.get("kind", "lesson")),
        datasets=tuple(str(one) for one in meta.get("datasets", ())),
        minutes={str(k): float(v) for k, v in dict(meta.get("minutes", {})).items()},
        mib={str(k): float(v) for k, v in dict(meta.get("mib", {})).items()},
        metadata=meta,
    )


def nbformat() -> Any:
    """Import nbformat, without the three seconds that jsonschema then spends on a grammar of web addresses.

    jsonschema does without rfc3987_syntax where it is not installed; notebooks have no address for it to check.
    """
    modules: dict[str, Any] = sys.modules
    hide = "jsonschema" not in modules and "rfc3987_syntax" not in modules
    if hide:
        modules["rfc3987_syntax"] = None
    try:
        import nbformat as library
    finally:
        if hide:
            del modules["rfc3987_syntax"]
    return library


def code_cells(node: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order."""
    return [cell for cell in node.cells if cell.cell_type == "code"]


def has_tag(cell: NotebookNode, tag: str) -> bool:
    """Say whether the cell carries the tag."""
    return tag in cell.metadata.get("tags", [])


def _raw(path: Path) -> dict[str, Any]:
    """Return a notebook file's JSON; nbformat is not needed to look at metadata."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["nbformat"] != 4 or not isinstance(raw["metadata"], dict):
            raise ValueError("nbformat 4 with metadata was expected")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is not a Jupyter notebook: {type(error).__name__}: {error}") from error
    return dict(raw)


def _id_of(path: Path) -> str:
    root = notebooks_dir().resolve()
    resolved = path.resolve()
    inside = resolved.is_relative_to(root)
    return (resolved.relative_to(root) if inside else Path(resolved.name)).with_suffix("").as_posix()
