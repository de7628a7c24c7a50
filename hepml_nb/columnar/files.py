"""Which files, of which dataset, and what is in them: looked at before anything is processed."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepml_nb.columnar.opening import opened
from hepml_nb.columnar.schemas import EVENT_IDS, SCHEMAS, layout
from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["Files", "Reads", "Seen", "Source", "inspect", "look", "sources"]

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any]
_ONE_DATASET = "events"
_SEEN: dict[tuple[Any, ...], Seen] = {}
_MOST_SEEN = 256
_RESERVED = {"dataset", "filename", "treename", "entrystart", "entrystop", "fileuuid", "chunk"}


@dataclass(frozen=True)
class Source:
    """One file of a dataset, with its tree and what the user says about the dataset."""

    dataset: str
    path: str
    tree: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Reads:
    """Branches that a processor needs, and those that it takes where a file has them."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What a file holds: its trees with their entries, and of one tree its layout, entries and branches."""

    path: str
    trees: Mapping[str, int]
    tree: str
    layout: str
    events: int
    branches: tuple[str, ...]
    simulated: bool
    uuid: bytes = field(default=b"", repr=False)


def sources(files: Files, tree: str) -> list[Source]:
    """Return the files as sources, sorted by dataset and path.

    `files` is a path, a glob, a list of both ("events" is then the dataset), {dataset: the same}, or coffea's fileset
    {dataset: {"files": [...] | {path: tree}, "metadata": {...}}}. Raises NotFound for a file that is not there and
    InputError for a file that is twice in a dataset or for anything else.
    """
    given = files if isinstance(files, Mapping) else {_ONE_DATASET: files}
    found: list[Source] = []
    for dataset, entry in given.items():
        metadata: Mapping[str, Any] = {}
        if isinstance(entry, Mapping) and "files" in entry:
            metadata, tree_here, entry = entry.get("metadata") or {}, entry.get("treename") or tree, entry["files"]
        else:
            tree_here = tree
        if taken := sorted(_RESERVED & set(metadata)):
            raise InputError(f"metadata of dataset {dataset!r} has the reserved name {taken[0]!r}; rename it.")
        trees = entry if isinstance(entry, Mapping) else {}
        names = [entry] if isinstance(entry, str | os.PathLike) else list(entry)
        for name in names:
            found += [Source(str(dataset), path, trees.get(name) or tree_here, metadata) for path in _paths(name)]
    for (dataset, path), times in Counter((source.dataset, source.path) for source in found).items():
        if times > 1:
            raise InputError(f"{path} is {times} times in dataset {dataset!r}: its events would count so often.")
    if not found:
        raise InputError(f"files={files!r} holds no file; expected a path, a list, a glob or {{dataset: files}}.")
    return sorted(found, key=lambda source: (source.dataset, source.path))


def _paths(name: Any) -> list[str]:
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"{name!r} is no path; expected a path, a list, a glob or {{dataset: files}}.")
    text = os.fspath(name)
    if "://" in text:
        return [text]
    text = os.path.expanduser(text)
    if os.path.isfile(text):
        return [os.path.abspath(text)]
    found = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
    if not found:
        folder = Path(text).parent
        beside = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        beside = [name for name in beside if Path(name).suffix == Path(text).suffix] or beside
        if glob.has_magic(text):
            raise NotFound(f"no file is called {text}.")
        raise NotFound(f"there is no file {text}{suggest(Path(text).name, beside)}")
    return [os.path.abspath(path) for path in found]


def look(path: str | os.PathLike[str], tree: str | None = None) -> Seen:
    """Return what a ROOT file holds; `tree` is that to describe, the largest one if None.

    A local file is opened once as long as it stays as it is: the 1500 branches of CMS take a second. Raises InputError
    for a file that cannot be read and NotFound for a tree that does not exist.
    """
    return _look(os.fspath(path), tree, "")


def _look(path: str, tree: str | None, run: str) -> Seen:
    """Look at a file; a run that names itself holds the file open for its chunks."""
    at = os.stat(path) if os.path.isfile(path) else None
    key = (path, tree, (at.st_size, at.st_mtime_ns, at.st_ino) if at else ())
    if key in _SEEN:
        return _SEEN[key]
    with ExitStack() as stack:
        try:
            file = stack.enter_context(opened(path, run))
        except Exception as error:
            raise InputError(f"{path} is no readable ROOT file: {_unlike_root(path) or reason(error)}.") from error
        seen = _described(file, path, tree)
    if at is not None:
        _SEEN[key] = seen
        if len(_SEEN) > _MOST_SEEN:
            _SEEN.pop(next(iter(_SEEN)))
    return seen


def _unlike_root(path: str) -> str:
    """Return what tells a local file from any ROOT file, "" where nothing does."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as stream:
        start = stream.read(4)
    return "it is empty" if not start else "" if start == b"root" else f"it begins with {start!r}, not with b'root'"


def _described(file: Any, path: str, tree: str | None) -> Seen:
    try:
        kinds = file.classnames(recursive=True, cycle=False)
        names = [name for name, kind in kinds.items() if kind in ("TTree", "ROOT::RNTuple")]
        if tree is not None and tree not in names:
            held = f"{suggest(tree, names)} Choose by tree= (--tree)." if names else "; it holds no tree."
            raise NotFound(f"{path} has no tree {tree!r}{held}")
        trees = {name: int(file[name].num_entries) for name in names}
        if not trees:
            raise NotFound(f"{path} holds no tree.")
        tree = tree or max(trees, key=trees.__getitem__)
        branches = tuple(file[tree].keys())
        uuid = file.file.fUUID
    except (InputError, NotFound):
        raise
    except Exception as error:
        raise InputError(f"{path} is damaged: {reason(error)}.") from error
    kind = layout(set(branches))
    simulated = kind == "delphes" or "genWeight" in branches
    return Seen(path, trees, tree, kind, trees[tree], branches, simulated, uuid)


def reason(error: BaseException) -> str:
    """Return the kind of the error at the bottom of it and the first line of what it says, without a full stop."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].rstrip('.,:')}" if lines else type(error).__name__


def inspect(source: Source, schema: str, reads: Reads | None, run: str = "") -> tuple[Seen | None, str]:
    """Return what a source holds and "", or None and what is wrong with it: a sentence that names file and branch.

    The file stays open for the chunks of a run that names itself.
    """
    try:
        seen = _look(source.path, source.tree, run)
    except (InputError, NotFound) as error:
        return None, str(error)
    branches = set(seen.branches)
    if schema in ("nanoaod", "pfnano") and (missing := [name for name in EVENT_IDS if name not in branches]):
        return None, (f"{source.path}: tree {source.tree!r} has no branch {missing[0]!r}, which every NanoAOD file "
                      f"has; it looks like schema={seen.layout!r}.")  # fmt: skip
    if schema == "delphes" and seen.layout != "delphes":
        return None, f"{source.path}: tree {source.tree!r} is not of Delphes; it looks like schema={seen.layout!r}."
    for name in reads.needs if reads else ():
        if name not in branches:
            return None, f"{source.path}: tree {source.tree!r} has no branch {name!r}{suggest(name, branches, 5)}"
    return Seen(**{**vars(seen), "branches": ()}), ""


def check_schema(name: str) -> Callable[..., Any]:
    """Return the schema class called `name`; raise InputError with the nearest one."""
    if name not in SCHEMAS:
        raise InputError(f"schema={name!r} is unknown{suggest(name, SCHEMAS)}")
    found: Callable[..., Any] = SCHEMAS[name]
    return found
