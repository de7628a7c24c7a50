"""The command `report`: all notebooks, one notebook with my parameters, or my tagger's scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepml_nb.cli.common import add_command, add_run_options, given_parameters, print_json, run_options, say

if TYPE_CHECKING:
    from hepml_nb.runtime.report import Report

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Declare the command of this module."""
    parser = add_command(
        commands,
        "report",
        _report,
        "run notebooks and write HTML pages that open without a network",
        [
            "report",
            "report --profile tutorial --jobs 1",
            "report tagging/02 -p train_jets=2000 -p seed=3 --out my_report",
            "report --dataset mine",
            "report scores my_scores.parquet -p label=is_top",
            "report tagging/02 --help",
        ],
        more="Without a notebook: all of them and an index, in report/. One notebook: its page alone, in my_report/.\n"
        "'scores FILE': the comparison page of a Parquet file with columns of labels and scores. The folder is\n"
        "replaced as a whole. With the name of a notebook, --help shows its parameters.",
        as_json=True,
    )
    parser.add_argument("notebook", nargs="*", help="none: all; one or several ids; or: scores FILE.parquet")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set a parameter")
    parser.add_argument("--dataset", metavar="NAME", help="with this dataset; without a notebook all that run with it")
    parser.add_argument("--all", action="store_true", help="all notebooks (what no notebook means, too)")
    parser.add_argument("--out", metavar="DIR", help="folder of the report")
    parser.add_argument("--jobs", type=int, metavar="N", help="notebooks that run side by side (default: one per core)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_run_options(parser)


def _report(arguments: argparse.Namespace) -> int:
    report = _build(arguments)
    if arguments.json:
        print_json({"index": str(report.index), **report.to_dict()})
    else:
        for one in report.failed:
            say(f"error: {one.failure}")
        for line in report.outside:
            say(f"outside its band: {line}")
        print(report.index)
    if arguments.open:
        import webbrowser

        webbrowser.open(report.index.resolve().as_uri())
    return 3 if report.failed else 1 if report.outside else 0


def _build(arguments: argparse.Namespace) -> Report:
    from hepml_nb.core.errors import InputError
    from hepml_nb.runtime.report import SCORES, build_report, report_one, report_scores

    names, options = arguments.notebook, {**run_options(arguments), "seed": arguments.seed}
    if names and names[0] == "scores":
        if arguments.dataset:
            raise InputError("--dataset is for notebooks; `report scores` reads its Parquet file and no dataset.")
        if len(names) != 2:
            raise InputError(
                "`hepml-nb report scores` takes one Parquet file: hepml-nb report scores my_scores.parquet"
            )
        parameters = given_parameters(SCORES, arguments.parameter)
        out = arguments.out or "my_report"
        return report_scores(names[1], parameters, profile=arguments.profile, out=out, **options)
    dataset = [f"dataset={arguments.dataset}"] if arguments.dataset else []
    if len(names) == 1 and not arguments.all:
        parameters = given_parameters(names[0], [*arguments.parameter, *dataset])
        return report_one(names[0], parameters, profile=arguments.profile, out=arguments.out or "my_report", **options)
    if arguments.parameter:
        raise InputError("-p belongs to one notebook; name it: hepml-nb report tagging/02 -p train_jets=2000")
    if dataset and (arguments.all or not names):
        names = _with_dataset(arguments.dataset)
    for name in names if dataset else ():
        given_parameters(name, dataset)  # does it take one?
    return build_report(
        None if not dataset and (arguments.all or not names) else names,
        parameters={"dataset": arguments.dataset} if dataset else None,
        profile=arguments.profile or "smoke",
        out=Path(arguments.out or "report"),
        jobs=arguments.jobs,
        say=say,
        **options,
    )


def _with_dataset(name: str) -> list[str]:
    """Return the notebooks that run with a dataset; say of the others of its topic what they need."""
    from hepml_nb.cli.adopt import fitting
    from hepml_nb.columnar.adoption import lacking_of
    from hepml_nb.core.errors import InputError
    from hepml_nb.data import manifest

    about = manifest(name)
    on, off = fitting(about, lacking_of(name))
    for notebook, needs in off.items():
        say(f"left out: {notebook} needs {needs}")
    if not on:
        raise InputError(
            f"no notebook of the topic {about.topic!r} runs with dataset {name!r} (schema {about.schema})."
        )
    return on
