"""The command `data`: list, show, make, fetch, verify, add, pack, unpack."""

from __future__ import annotations

import argparse
from typing import Any

from hepml_nb.cli import adopt
from hepml_nb.cli.common import PROFILES, add_command, print_json, say, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Declare the command of this module."""
    parser = commands.add_parser("data", help="list, describe, make, fetch, check and hand on datasets")
    parser.set_defaults(handler=lambda arguments: parser.print_help() or 2, debug=False)
    inner = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_command(inner, "list", _list, "list the datasets and what is here of them", ["data list"], as_json=True)
    _with_name(inner, "show", _show, "describe a dataset: columns, units, licence, costs", "data show top-tagging")
    example = "data make top-tagging --profile tutorial"
    parser_make = _with_name(inner, "make", _make, "make the simulated twin of a dataset", example)
    parser_make.add_argument("--profile", choices=PROFILES, default="tutorial", help="how much (default tutorial)")
    parser_make.add_argument("--seed", type=int, default=0, metavar="N", help="other events (default 0)")
    parser_make.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    cluster = "a Dask cluster: tcp://..., gateway, slurm, htcondor, pbs, lsf"
    parser_make.add_argument("--dask", metavar="ADDRESS", help=cluster)
    parser_make.add_argument("--estimate", action="store_true", help="only say what it would take")
    parser_fetch = _with_name(
        inner, "fetch", _fetch, "download the public files, and check them", "data fetch zjets --only '*_0.npz'"
    )
    parser_fetch.add_argument("--only", default="*", metavar="PATTERN", help="only files with such names (default all)")
    _with_name(inner, "verify", _verify, "check all files of a dataset against checksums", "data verify top-tagging")
    examples = ["data add top-tagging ~/Downloads/*.h5", "data add my-jets.yaml",
                "data add *.root --tree Events --as jets --name mine"]  # fmt: skip
    summary = "put downloaded files in place, add a manifest of yours, or make a dataset of your own files"
    parser_add = add_command(inner, "add", _add, summary, examples, as_json=True)
    parser_add.add_argument("name", help="name of a dataset, the path of a manifest (.yaml), or with --as a file")
    parser_add.add_argument("files", nargs="*", help="public files of the dataset, downloaded by other means; or yours")
    adopt.add_options(parser_add)
    _add_packing(inner)


def _add_packing(inner: Any) -> None:
    examples = ["data pack top-tagging boosted-jets --profile tutorial --out class.tar"]
    parser = add_command(inner, "pack", _pack, "write made data into one file, for a class without a network", examples,
                         as_json=True)  # fmt: skip
    parser.add_argument("names", nargs="+", metavar="NAME", help="names of datasets")
    parser.add_argument("--profile", choices=PROFILES, default="tutorial", help="how much (default tutorial)")
    parser.add_argument("--out", default="hepml-nb-data.tar", metavar="FILE", help="default hepml-nb-data.tar")
    parser = add_command(inner, "unpack", _unpack, "check and install what pack wrote", ["data unpack class.tar"],
                         as_json=True)  # fmt: skip
    parser.add_argument("file", help="the file")


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
        (one["topic"], name, one["title"], ", ".join([*one["sources"], *(f"twin:{made}" for made in one["made"])])
         or "-", " ".join(f"{profile}:{_count(n)}" for profile, n in one["records"].items()))
        for name, one in sorted(found.items(), key=lambda item: (item[1]["topic"], item[0]))
    ]  # fmt: skip
    print(table(("topic", "dataset", "title", "here", "records"), rows))
    return 0


def _count(n: int) -> str:
    return f"{n / 1e6:.3g}M" if n >= 1e6 else f"{n / 1e3:.3g}k" if n >= 1e3 else str(n)


def _show(arguments: argparse.Namespace) -> int:
    import dataclasses

    from hepml_nb import data

    about = data.manifest(arguments.name)
    told = {profile: data.estimate(about.name, profile) for profile in about.profiles if about.recipe}
    if arguments.json:
        costs = {profile: vars(one) for profile, one in told.items()}
        print_json({**dataclasses.asdict(about), "estimates": costs})
        return 0
    print(f"{about.name}: {about.title}\n{about.about.strip()}\n")
    print(f"licence {about.licence}; cite {about.citation}" + (f"; doi {about.doi}" if about.doi else ""))
    for title, columns in {"column": about.columns, **about.collections}.items():
        rows = [(name, one.dtype, one.unit or "-", one.meaning) for name, one in columns.items()]
        print(f"\n{table((title, 'type', 'unit', 'meaning'), rows)}")
    if told and about.recipe:
        prices = [(stream, one.core_seconds, one.kib) for stream, one in about.recipe.cost.items()]
        print(f"\n{table(('twin, per 1000 records', 'core-seconds', 'KiB'), prices)}\n")
        print("\n".join(map(str, told.values())))
    if about.public:
        files = [
            (file.name, f"{file.bytes / 1e6:,.1f} MB" if file.bytes else "-", file.url) for file in about.public.files
        ]
        print(f"\n{table(('public file', 'size', 'address'), files)}")
    for trap in about.traps:
        print(f"beware: {trap}")
    return 0


def _make(arguments: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from hepml_nb import core, data

    name, profile, seed = arguments.name, arguments.profile, arguments.seed
    if arguments.estimate:
        told = data.estimate(name, profile, seed)
        print_json(vars(told)) if arguments.json else print(told)
        return 0
    with core.client(arguments.dask, arguments.workers) if arguments.dask else nullcontext() as client:
        made = data.make(name, profile, seed=seed, workers=arguments.workers, say=say, client=client)
    if arguments.json:
        print_json({"name": made.name, "profile": made.profile, "records": len(made), **made.provenance})
    else:
        print(f"{made.name} ({made.profile}): {len(made):,} records, identity {made.identity}")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    paths = [str(path) for path in data.fetch(arguments.name, arguments.only)]
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


def _add(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    if arguments.kind or arguments.mapping or arguments.called:
        return adopt.add(arguments)
    about = data.add(arguments.name, arguments.files)
    here = data.list()[about.name]
    if arguments.json:
        print_json({"name": about.name, **here})
    else:
        print(f"{about.name}: {about.title}; here: {', '.join(here['sources']) or 'no data yet'}")
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    packed = data.pack(arguments.names, arguments.profile, arguments.out)
    print_json(vars(packed)) if arguments.json else print(packed)
    for name, one in packed.datasets.items():
        if one["chunks"] < one["of"]:
            say(f"{name}: {one['of'] - one['chunks']} of {one['of']} chunks are not made and not in the file.")
    return 0


def _unpack(arguments: argparse.Namespace) -> int:
    from hepml_nb import data

    found = data.unpack(arguments.file)
    print_json(vars(found)) if arguments.json else print(f"{found}; {found.new} chunks were new here")
    return 0
