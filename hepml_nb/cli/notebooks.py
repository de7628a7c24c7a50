"""Commands about notebooks: list, run, export, lab."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from hepml_nb.cli.common import (
    add_command,
    add_run_options,
    given_parameters,
    print_json,
    run_options,
    say,
    table,
)

__all__ = ["add_commands", "lab_command"]


def add_commands(commands: Any) -> None:
    """Declare the commands of this module."""
    parser = add_command(
        commands,
        "list",
        _list,
        "list the notebooks, what they teach and how long they take",
        ["list", "list tagging/02", "list --json"],
        as_json=True,
    )
    parser.add_argument("notebook", nargs="?", help="show this one with its parameters")
    _add_run(commands)
    parser = add_command(
        commands,
        "export",
        _export,
        "write a copy of a notebook without outputs, or the one to hand out",
        ["export tagging/02 --student", "export tagging/02 --student --out handouts/"],
    )
    parser.add_argument("notebook", help="id, unique prefix or file")
    parser.add_argument("--student", action="store_true", help="solutions removed, exercises and checks kept")
    parser.add_argument("--out", metavar="PATH", help="file or folder (default: SLUG.student.ipynb or SLUG.ipynb here)")
    parser = add_command(
        commands, "lab", _lab, "open JupyterLab on the index notebook", ["lab", "lab --port 9000 --no-browser"]
    )
    parser.add_argument("--port", type=int, default=8888, help="port on 127.0.0.1 (default 8888, or the next free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def _add_run(commands: Any) -> None:
    parser = add_command(
        commands,
        "run",
        _run,
        "execute a notebook with checked parameters",
        [
            "run start/01_tour",
            "run tagging/02 -p train_jets=2000 -p seed=3",
            "run tagging/02 --profile tutorial --out runs/a",
            "run tagging/02 --help",
        ],
        more="Prints the recorded numbers. At smoke size with the notebook's own parameters they are compared\n"
        "with their golden bands. With the name of a notebook, --help shows its parameters.",
        as_json=True,
    )
    parser.add_argument("notebook", help="id, unique prefix or file")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set a parameter")
    parser.add_argument("--dataset", metavar="NAME", help="the dataset of the notebook, as -p dataset=NAME")
    parser.add_argument("--out", metavar="DIR", help="folder for the executed notebook and its numbers")
    parser.add_argument("--no-check", action="store_true", help="do not compare with the golden bands")
    parser.add_argument("--require-claims", action="store_true", help="exit with 1 unless every claim holds")
    add_run_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.notebooks import discover, find, info
    from hepml_nb.runtime.parameters import parameter_table

    if arguments.notebook:
        about = info(find(arguments.notebook))
        if arguments.json:
            print_json({"id": about.id, "path": str(about.path), **about.metadata})
            return 0
        print(f"{about.id}: {about.title}\n{about.path}")
        for name in ("learn", "prerequisites", "datasets", "references"):
            if lines := about.metadata.get(name):
                print(f"{name}: " + "; ".join(map(str, lines)))
        print(f"minutes: {_sizes(about.minutes)}\nMiB: {_sizes(about.mib)}")
        if about.kind != "index":
            print(parameter_table(about.id))
        return 0
    found = [info(name) for name in discover()]
    if arguments.json:
        print_json([{"id": one.id, "title": one.title, "kind": one.kind, "minutes": one.minutes} for one in found])
        return 0
    rows = [(one.id, one.title, _minutes(one.minutes, "smoke"), _minutes(one.minutes, "tutorial")) for one in found]
    print(table(("notebook", "title", "smoke", "tutorial"), rows))
    return 0


def _minutes(minutes: Mapping[str, float], profile: str) -> str:
    value = minutes.get(profile)
    return "" if value is None else f"{60 * value:.0f} s" if value < 1 else f"{value:g} min"


def _sizes(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{profile} {value:g}" for profile, value in sizes.items()) or "unknown"


def _run(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.report_numbers import applicable_golden
    from hepml_nb.runtime.runner import run
    from hepml_nb.runtime.tables import cells

    pairs = [*arguments.parameter, *([f"dataset={arguments.dataset}"] if arguments.dataset else [])]
    parameters = given_parameters(arguments.notebook, pairs)
    done = run(
        arguments.notebook,
        parameters,
        profile=arguments.profile,
        seed=arguments.seed,
        out=arguments.out,
        **run_options(arguments),
    )
    golden = None if arguments.no_check else applicable_golden(arguments.notebook, done.metrics)
    deviations = [] if golden is None else _deviations(done.metrics, golden)
    claims = done.metrics["claims"]
    if arguments.json:
        print_json({**done.metrics, "executed": str(done.executed), "cached": done.cached, "deviations": deviations})
    else:
        header = ("metric", "value ± error", "n", "trainings", "floor", "baseline", "published")
        if done.metrics["metrics"]:
            print(table(header, [cells(metric) for metric in done.metrics["metrics"]]))
        for claim in claims:
            print(f"{claim['outcome']}: {claim['text']}")
        took = "read from the cache" if done.cached else f"{done.seconds:.1f} s, {done.peak_mib:.0f} MiB"
        say(f"{done.notebook} ({done.profile}): {took}\nexecuted: {done.executed}\nnumbers: {done.sidecar}")
        for one in deviations:
            say(f"outside its band: {one}")
        if golden is not None and not deviations:
            say(f"all numbers lie in their golden bands ({len(golden['metrics'])})")
    unproven = arguments.require_claims and any(claim["outcome"] != "holds" for claim in claims)
    return 1 if deviations or unproven else 0


def _deviations(sidecar: Mapping[str, Any], golden: Mapping[str, Any]) -> list[str]:
    from hepml_nb.runtime.golden import check

    return [str(one) for one in check(sidecar, golden)]


def _export(arguments: argparse.Namespace) -> int:
    from hepml_nb.runtime.export import export_plain, export_student

    export = export_student if arguments.student else export_plain
    print(export(arguments.notebook, arguments.out))
    return 0


def _lab(arguments: argparse.Namespace) -> int:
    command = lab_command(arguments.port, browser=not arguments.no_browser)
    say("JupyterLab starts at 127.0.0.1; end it with Ctrl-C.")
    return subprocess.call(command)


def lab_command(port: int, *, browser: bool = True) -> list[str]:
    """Return the command that opens JupyterLab on the index: on 127.0.0.1 only, asking no server for news."""
    from hepml_nb.core.files import repo_root

    # a container's only user is often root; bound to 127.0.0.1 and behind a token, that opens nothing to others
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    index = "notebooks/index.ipynb" if (repo_root() / "notebooks" / "index.ipynb").exists() else "notebooks"
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={repo_root()}",
        f"--LabApp.default_url=/lab/tree/{index}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.open_browser={browser}",
        *as_root,
    ]
