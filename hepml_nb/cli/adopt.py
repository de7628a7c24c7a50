"""A user's own files: `data add FILES --as KIND` makes a dataset of them, `apply` writes scores beside their events."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hepml_nb.cli.common import add_command, print_json, say

__all__ = ["add", "add_commands", "add_options", "disabled", "fitting"]


def add_commands(commands: Any) -> None:
    """Declare the command `apply`."""
    examples = ["apply model/ events.root --dataset mine --out scores", "apply model/ *.root --mapping mine.yaml"]
    parser = add_command(commands, "apply", _apply, "write the scores of a saved tagger beside the events of files",
                         examples, as_json=True)  # fmt: skip
    parser.add_argument("model", help="folder that Tagger.save wrote")
    parser.add_argument("files", nargs="+", help="files as those of `data add FILES --as jets`")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--dataset", metavar="NAME", help="read the files as those of this dataset of yours were")
    group.add_argument("--mapping", metavar="FILE", help="by this mapping (YAML); proposed if neither is given")
    parser.add_argument("--tree", metavar="TREE", help="ROOT tree or HDF5 group")
    parser.add_argument("--out", default="scores", metavar="DIR", help="folder for one Parquet file per file")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add to `data add` what turns the user's own files into a dataset."""
    group = parser.add_argument_group("files of your own (ROOT, Parquet, HDF5, npz)")
    group.add_argument("--as", dest="kind", metavar="KIND", help="jets, events, showers, or the name of a schema")
    group.add_argument("--name", dest="called", metavar="NAME", help="what the dataset shall be called")
    group.add_argument("--tree", metavar="TREE", help="ROOT tree (default: the largest) or HDF5 group")
    group.add_argument("--mapping", metavar="FILE", help="which column becomes what (YAML); proposed if not given")
    group.add_argument("--radius", type=float, metavar="R", help="R of the jets (default: guessed from them)")
    group.add_argument("--propose", action="store_true", help="only print the mapping, for a file to edit")
    group.add_argument("--yes", action="store_true", help="take the proposed mapping without a question")
    group.add_argument(
        "--skip-bad", action="store_true", help="go on without files, or parts of them, that are damaged"
    )
    group.add_argument("--replace", action="store_true", help="put it in place of a dataset of yours of that name")


def add(arguments: argparse.Namespace) -> int:
    """Make a dataset of files: `data add FILES --as KIND --name NAME`."""
    from hepml_nb.columnar.adoption import adopt
    from hepml_nb.core import InputError

    if not arguments.called and not arguments.propose:
        raise InputError("--name is missing: what shall the dataset be called?")
    text = _text(arguments.mapping) if arguments.mapping else None
    asked: list[bool] = []

    def agree(seen: Any, plan: Any, notes: Iterable[str]) -> bool:
        if text is None:
            say("\n".join([str(seen), "", *notes, ""]))
        if text is None and not arguments.json:
            print(plan.text(), flush=True)
        asked.append(not arguments.propose and (text is not None or arguments.yes or _asked(arguments.called)))
        return asked[-1]

    files = [arguments.name, *arguments.files]
    made = adopt(files, arguments.kind or "jets", arguments.called or "proposal", tree=arguments.tree, mapping=text,
                 radius=arguments.radius, replace=arguments.replace or arguments.propose, skip_bad=arguments.skip_bad,
                 agree=agree)  # fmt: skip
    if made is None:
        if arguments.propose:
            return 0
        say("nothing was written. Give --yes, or --propose > mine.yaml, edit that and give --mapping mine.yaml.")
        return 2
    about = made.manifest
    on, off = fitting(about, made.lacking)
    if arguments.json:
        print_json({"name": about.name, "counts": made.counts, "lacking": made.lacking, "dropped": made.dropped,
                    "negative_weights": made.negative, "disabled": off, "bad": made.bad})  # fmt: skip
        return 0
    print(f"{about.name}: {about.title}\n{about.about}")
    for split, row in made.counts.items():
        print(f"  {split:<6}" + "  ".join(f"{stream} {n:,}" for stream, n in row.items()))
    for trap in about.traps:
        print(f"beware: {trap}")
    for notebook, why in off.items():
        print(f"disabled: {notebook} needs {why}")
    for notebook in on:
        print(f"now: hepml-nb run {notebook} --dataset {about.name}")
    if len(on) > 1:
        print(f"or all of them: hepml-nb report --dataset {about.name}")
    return 0


def fitting(about: Any, lacking: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the notebooks of a dataset's topic and schema that run with it, and of the others what they need of it.

    `about` is the manifest, `lacking` the columns of the schema that are not there. A notebook whose metadata names
    `hepml.classes` needs these classes.
    """
    same = {name: metadata for name, metadata in _notebooks(about.topic).items() if about.schema in _schemas(metadata)}
    off = {name: needs for name, needs in disabled(about.topic, lacking).items() if name in same}
    for name, metadata in same.items():
        missing = [one for one in metadata.get("classes", ()) if one not in about.classes]
        if missing and "label" not in off.get(name, "").split(", "):
            off[name] = ", ".join(filter(None, (off.get(name), f"the class {' and '.join(missing)}")))
    return [name for name in same if name not in off], off


def disabled(topic: str, lacking: Iterable[str]) -> dict[str, str]:
    """Return the notebooks of a topic that cannot run without some columns: {notebook: the columns it needs of them}.

    What a notebook needs is what the methods that it trains need (`hepml.trained` in its metadata and the registry of
    the topic), the label that they learn, and what its metadata names in `hepml.columns`.
    """
    import importlib.util

    lacking = set(lacking)
    found = {}
    for notebook, metadata in _notebooks(topic).items():
        needs = set(metadata.get("columns", ()))
        names = metadata.get("trained", ())
        if names and importlib.util.find_spec(f"hepml_nb.{topic}"):
            needs.add("label")
            methods = importlib.import_module(f"hepml_nb.{topic}").methods()
            needs |= {column for name in names if name in methods for column in methods[name].cls.columns}
        if needs & lacking:
            found[notebook] = ", ".join(sorted(needs & lacking))
    return found


def _notebooks(topic: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of the notebooks of a topic that take a dataset by name."""
    from hepml_nb.runtime.notebooks import discover, find, info
    from hepml_nb.runtime.parameters import read_parameters

    names = [name for name in discover() if name.split("/")[0] == topic]
    return {name: dict(info(find(name)).metadata) for name in names if "dataset" in read_parameters(name)}


def _schemas(metadata: dict[str, Any]) -> set[str]:
    """Return the schemas of the datasets that a notebook shows."""
    from hepml_nb import data
    from hepml_nb.data.manifest import places

    known = places()
    return {data.manifest(name).schema for name in metadata.get("datasets", ()) if name in known}


def _asked(name: str) -> bool:
    """Ask a person; nobody is there to ask where this does not run in a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"Make the dataset {name!r} by this mapping? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _text(path: str) -> str:
    from hepml_nb.core import InputError

    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the mapping {path} cannot be read: {error}") from error


def _apply(arguments: argparse.Namespace) -> int:
    from hepml_nb import tagging
    from hepml_nb.columnar.adoption import apply, mapping_of
    from hepml_nb.columnar.inspection import survey
    from hepml_nb.columnar.proposing import propose

    tagger = tagging.Tagger.load(arguments.model)
    if arguments.dataset:
        text = mapping_of(arguments.dataset)
    elif arguments.mapping:
        text = _text(arguments.mapping)
    else:
        plan, notes = propose(survey(arguments.files, arguments.tree), "jets")
        say("\n".join(notes))
        text = plan.text()
    paths = apply(tagger.scores, arguments.files, arguments.out, text, tree=arguments.tree)
    print_json([str(path) for path in paths]) if arguments.json else print("\n".join(map(str, paths)))
    return 0
