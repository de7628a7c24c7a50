"""Commands about numbers: golden, compare, results, sweep."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from typing import Any

from hepml_nb.cli.common import (
    PROFILES,
    add_command,
    add_run_options,
    given_parameters,
    positive,
    print_json,
    run_options,
    say,
    table,
)

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Declare the commands of this module."""
    _add_golden(commands)
    _add_compare(commands)
    _add_results(commands)
    _add_sweep(commands)


def _add_golden(commands: Any) -> None:
    parser = add_command(
        commands,
        "golden",
        _golden,
        "propose golden bands from several seeds; a person looks at them and commits the file",
        ["golden tagging/02 --seeds 5", "golden tagging/02 --seeds 5 --write"],
        more="Runs the notebook once per seed and once with train=False, which every band has to exclude.",
        as_json=True,
    )
    parser.add_argument("notebook", help="id, unique prefix or file")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds, at least 5 (default 5)")
    parser.add_argument("--write", action="store_true", help="write the file under tests/golden/")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set a parameter")
    add_run_options(parser, seed=False)


def _add_compare(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        _compare,
        "compare the numbers of two runs, in standard deviations",
        ["compare run_a run_b", "compare a.smoke.metrics.json b.smoke.metrics.json --sigma 3"],
        more="A run is a metrics.json, or a folder of them (also a report).",
        as_json=True,
    )
    parser.add_argument("first", help="file or folder")
    parser.add_argument("second", help="file or folder")
    parser.add_argument("--sigma", type=positive, metavar="X", help="exit with 1 where a difference exceeds X sigma")


def _add_results(commands: Any) -> None:
    parser = add_command(
        commands,
        "results",
        _results,
        "show which committed results have gone stale, and rerun them",
        ["results", "results --refresh", "results --profile tutorial --check"],
        as_json=True,
    )
    parser.add_argument("notebook", nargs="*", help="only these")
    parser.add_argument("--profile", choices=PROFILES, default="tutorial", help="which results (default tutorial)")
    parser.add_argument("--refresh", action="store_true", help="rerun the stale ones")
    parser.add_argument("--force", action="store_true", help="with --refresh: rerun also the fresh ones")
    parser.add_argument("--check", action="store_true", help="exit with 1 when any is stale")


def _add_sweep(commands: Any) -> None:
    parser = add_command(
        commands,
        "sweep",
        _sweep,
        "run a long comparison point by point; it goes on where it was interrupted",
        ["sweep", "sweep tagging/size_curve", "sweep tagging/size_curve --minutes 60", "sweep size --cluster slurm"],
        more="Without a name: the sweeps and how far they are. Each finished point is one row in notebooks/results/.",
        as_json=True,
    )
    parser.add_argument("sweep", nargs="?", help="name, unique prefix or YAML file")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N points now")
    parser.add_argument("--minutes", type=positive, metavar="M", help="start no point that would end later than this")
    parser.add_argument("--rerun-stale", action="store_true", help="also points of older code or data")
    parser.add_argument(
        "--confirm",
        action="store_true",
        help="run one stale row of each method again; keep all where it is equal",
    )
    parser.add_argument("--out", metavar="FILE", help="another .jsonl file")
    parser.add_argument("--workers", type=int, metavar="N", help="run N points side by side, through Dask")
    parser.add_argument("--cluster", metavar="ADDRESS", help="tcp://host:port, slurm, htcondor, gateway, ...")


def _golden(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.golden import propose, write_golden

    parameters = given_parameters(arguments.notebook, arguments.parameter)
    options = {**run_options(arguments), **({"parameters": parameters} if parameters else {})}
    proposal = propose(arguments.notebook, arguments.seeds, arguments.profile or "smoke", **options)
    if arguments.json:
        print_json(proposal.golden)
    else:
        print(proposal)
    if arguments.write:
        say(f"written: {write_golden(proposal)}; look at it before you commit it.")
    return 1 if proposal.missing else 0


def _compare(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.compare import compare_runs, difference_table

    found = compare_runs(arguments.first, arguments.second)
    if arguments.json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        print(difference_table(found))
    far = [one for one in found if one.sigma is not None and arguments.sigma and abs(one.sigma) > arguments.sigma]
    return 1 if far else 0


def _results(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.notebooks import find, info
    from hepml_nb.runtime.results import refresh, staleness

    wanted = [info(find(name)).id for name in arguments.notebook]
    if arguments.refresh:
        runs = refresh(arguments.profile, only_stale=not arguments.force, notebooks=wanted or None)
        say(f"{len(runs)} rerun: {', '.join(run.notebook for run in runs) or 'everything was fresh'}")
    found = [one for one in staleness(arguments.profile) if not wanted or one.notebook in wanted]
    if arguments.json:
        print_json([{**dataclasses.asdict(one), "path": str(one.path)} for one in found])
    else:
        rows = [(one.notebook, "stale" if one.stale else "fresh", ", ".join(one.reasons)) for one in found]
        print(table(("notebook", arguments.profile, "why"), rows) if rows else f"no {arguments.profile} results")
    return 1 if arguments.check and any(one.stale for one in found) else 0


def _sweep(arguments: argparse.Namespace) -> int:
    from hepml_nb.core import client
    from hepml_nb.runtime.sweep import run_sweep

    if not arguments.sweep:
        return _sweeps(arguments)
    if arguments.confirm:
        return _confirm(arguments)
    wants_dask = arguments.workers or arguments.cluster
    with client(arguments.cluster, arguments.workers) if wants_dask else contextlib.nullcontext() as connected:
        report = run_sweep(
            arguments.sweep,
            limit=arguments.limit,
            minutes=arguments.minutes,
            rerun_stale=arguments.rerun_stale,
            client=connected,
            out=arguments.out,
        )
    if arguments.json:
        print_json(dataclasses.asdict(report))
    else:
        print(report)
    return 0


def _confirm(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.confirming import confirm

    differing = confirm(arguments.sweep)
    if arguments.json:
        print_json(differing)
    elif differing:
        words = [
            (name, f"differs: {', '.join(names)}" if names else "equal, kept") for name, names in differing.items()
        ]
        print(table(("method", "its quickest row, run again"), words))
    else:
        print("no row is stale")
    return 1 if any(differing.values()) else 0


def _sweeps(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.sweep import read_spec, rows, sweeps

    found = []
    for name in sweeps():
        spec = read_spec(name)
        done = rows(spec)
        stale = sum(bool(row["stale"]) for row in done)
        found.append((name, len(done), len(spec.points), stale, f"{spec.minutes:g}", spec.title))
    if arguments.json:
        keys = ("sweep", "done", "points", "stale", "minutes", "title")
        print_json([dict(zip(keys, row, strict=True)) for row in found])
    elif found:
        print(table(("sweep", "done", "of", "stale", "minutes", "title"), found))
    else:
        print("there are no sweeps")
    return 0
