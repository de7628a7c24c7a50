"""The command `data`: list, show, make, fetch, verify."""

from __future__ import annotations

import argparse
from typing import Any

from hepml_nb.cli.common import PROFILES, add_command, print_json, say, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Declare the command of this module."""
    parser = commands.add_parser("data", help="list, describe, make, fetch and check datasets")
    parser.set_defaults(handler=lambda arguments: parser.print_help() or 2, debug=False)
    inner = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_command(inner, "list", _list, "list the datasets and what is here of them", ["data list"], as_json=True)
    _with_name(inner, "show", _show, "describe a dataset: columns, units, licence, sizes", "data show top-tagging")
    example = "data make top-tagging --profile tutorial"
    parser_make = _with_name(inner, "make", _make, "make the simulated twin of a dataset", example)
    parser_make.add_argument("--profile", choices=PROFILES, default="tutorial", help="how much (default tutorial)")
    parser_make.add_argument("--seed", type=int, default=0, metavar="N", help="other events (default 0)")
    parser_make.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser_make.add_argument("--estimate", action="store_true", help="only say what it would take")
    _with_name(inner, "fetch", _fetch, "download the public files, and check them", "data fetch top-tagging")
    _with_name(inner, "verify", _verify, "check all files of a dataset against checksums", "data verify top-tagging")


def _with_name(inner: Any, name: str, handler: Any, summary: str, example: str) -> argparse.ArgumentParser:
    parser = add_command(inner, name, handler, summary, [example], as_json=True)
    parser.add_argument("name", help="name of the dataset (hepml-nb data list)")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    found = data.list()
    if arguments.json:
        print_json(found)
        return 0
    rows = [
        (name, one["title"], ", ".join(one["sources"]) or "-", ", ".join(one["made"]) or "-")
        for name, one in found.items()
    ]
    print(table(("dataset", "title", "here", "twin made for"), rows))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    import dataclasses

    from hepml_nb import data

    about = data.manifest(arguments.name)
    if arguments.json:
        print_json(dataclasses.asdict(about))
        return 0
    print(f"{about.name}: {about.title}\n{about.about.strip()}\n")
    print(f"licence {about.licence}; cite {about.citation}" + (f"; doi {about.doi}" if about.doi else ""))
    for title, columns in {"column": about.columns, **about.collections}.items():
        rows = [(name, one.dtype, one.unit or "-", one.meaning) for name, one in columns.items()]
        print(f"\n{table((title, 'type', 'unit', 'meaning'), rows)}")
    print()
    for profile in about.profiles if about.recipe else ():
        print(data.estimate(about.name, profile))
    for trap in about.traps:
        print(f"beware: {trap}")
    return 0


def _make(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    if arguments.estimate:
        told = data.estimate(arguments.name, arguments.profile, arguments.seed)
        print_json(vars(told)) if arguments.json else print(told)
        return 0
    made = data.make(arguments.name, arguments.profile, seed=arguments.seed, workers=arguments.workers, say=say)
    if arguments.json:
        print_json({"name": made.name, "profile": made.profile, "records": len(made), **made.provenance})
    else:
        print(f"{made.name} ({made.profile}): {len(made):,} records, identity {made.identity}")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    paths = [str(path) for path in data.fetch(arguments.name)]
    print_json(paths) if arguments.json else print("\n".join(paths))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    found = data.verify(arguments.name)
    if arguments.json:
        print_json(found)
    else:
        print("\n".join(f"{state:<8} {path}" for path, state in found.items()) or "there is nothing here to check")
    return 1 if "damaged" in found.values() else 0
