"""What the commands share: one way to declare them, options of every run, tables and JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "EXIT_CODES",
    "PROFILES",
    "Formatter",
    "add_command",
    "add_run_options",
    "given_parameters",
    "positive",
    "print_json",
    "run_options",
    "say",
    "table",
]

PROFILES = ("smoke", "tutorial", "full", "long")
EXIT_CODES = """exit codes:
  0 all is well    1 a check failed (band, claim, stale result, damaged file)    2 the input cannot be used
  3 a run failed   4 an error in hepml-nb itself                               130 interrupted
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are typed."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 30, **options: Any) -> None:
        super().__init__(prog, indent_increment, max_help_position, **options)


class _Help(argparse.Action):
    """`hepml-nb run NOTEBOOK --help` also shows that notebook's parameters."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any) -> None:
        """Print and leave; a notebook that cannot be read leaves the help as it is."""
        parser.print_help()
        notebook = getattr(namespace, "notebook", None)
        names = [notebook] if isinstance(notebook, str) else list(notebook or ())
        if len(names) == 1 or (len(names) == 2 and names[0] == "scores"):
            print(_parameters_of("reports/01_your_scores" if names[0] == "scores" else names[0]))
        parser.exit()


def add_command(
    commands: Any,
    name: str,
    handler: Callable[[argparse.Namespace], int],
    summary: str,
    examples: Sequence[str],
    *,
    more: str = "",
    as_json: bool = False,
) -> argparse.ArgumentParser:
    """Declare a command: its handler gets the parsed arguments and returns the exit code."""
    shown = "".join(f"  hepml-nb {example}\n" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + "." + (f"\n\n{more}" if more else ""),
        epilog=f"examples:\n{shown}\n{EXIT_CODES}",
        formatter_class=Formatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this help and leave")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print JSON for a machine instead of text")
    parser.set_defaults(handler=handler)
    return parser


def add_run_options(parser: argparse.ArgumentParser, *, seed: bool = True) -> None:
    """Add the options of every command that executes notebooks; some choose the seeds themselves."""
    group = parser.add_argument_group("running")
    group.add_argument("--profile", choices=PROFILES[:3], help="how much: smoke (seconds), tutorial (minutes), full")
    if seed:
        group.add_argument("--seed", type=int, metavar="N", help="the notebook's seed")
    group.add_argument("--no-cache", action="store_true", help="execute also what was run before, unchanged")
    group.add_argument("--cell-timeout", type=positive, metavar="S", help="seconds that one cell may take")
    group.add_argument("--timeout", type=positive, metavar="S", help="seconds that the notebook may take")
    group.add_argument("--memory", type=positive, metavar="MIB", help="MiB that the kernel may take")


def run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_run_options` gathered as keyword arguments of `runtime.run`, without profile and seed."""
    return {
        "cache": not arguments.no_cache,
        "cell_timeout": arguments.cell_timeout,
        "total_timeout": arguments.timeout,
        "memory_mib": arguments.memory,
    }


def given_parameters(notebook: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `-p name=value ...`, typed as the notebook wants them."""
    from hepml_nb.runtime.parameters import from_text

    return from_text(notebook, pairs) if pairs else {}


def positive(text: str) -> float:
    """Read a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def print_json(content: Any) -> None:
    """Print JSON on stdout."""
    json.dump(content, sys.stdout, indent=1, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def say(text: object) -> None:
    """Tell a person how far a command is: on stderr, so that stdout stays a result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned text table."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _parameters_of(notebook: str) -> str:
    from hepml_nb.core.errors import HepmlError

    try:
        from hepml_nb.runtime.notebooks import find, info
        from hepml_nb.runtime.parameters import parameter_table

        return f"\nparameters of {info(find(notebook)).id} (set with -p name=value):\n{parameter_table(notebook)}"
    except HepmlError as error:
        return f"\n{error}"
