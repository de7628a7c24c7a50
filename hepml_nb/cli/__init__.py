"""The command line `hepml-nb`: thin commands over hepml_nb.runtime and hepml_nb.data, which load only when one runs.

Exit codes: 0 all is well; 1 a check failed (a number outside its band, a stale result, a damaged file); 2 the input
cannot be used; 3 a run failed; 4 an error in this program; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hepml_nb.cli.common import EXIT_CODES, Formatter

__all__ = ["build_parser", "main"]

_EXAMPLES = """examples:
  hepml-nb list                                  the notebooks, and how long they take
  hepml-nb report                                run them all, write report/index.html
  hepml-nb report tagging/02 -p train_jets=2000  one notebook, my parameters
  hepml-nb report scores my_scores.parquet       my tagger's scores
  hepml-nb lab                                   open JupyterLab on the index
  hepml-nb doctor                                what is missing here, and the fix
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one message on stderr, with --debug the traceback."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "handler"):
        parser.print_help()
        return 2
    try:
        code = arguments.handler(arguments)
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if arguments.debug:
            raise
        return _explain(error)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; building it imports nothing but the standard library."""
    from hepml_nb import __version__
    from hepml_nb.cli import adopt, checks, datasets, doctor, notebooks, reports

    parser = argparse.ArgumentParser(
        prog="hepml-nb",
        description="Executable, checked notebooks for machine learning in particle physics.",
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=f"hepml-nb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (notebooks, reports, checks, datasets, adopt, doctor):
        module.add_commands(commands)
    return parser


def _explain(error: Exception) -> int:
    from hepml_nb.core.errors import HepmlError, RunError

    if isinstance(error, HepmlError):
        sys.stderr.write(f"error: {error}\n")
        return 3 if isinstance(error, RunError) else 2
    if isinstance(error, OSError):
        sys.stderr.write(f"error: {error}\n")
        return 2
    kind = type(error).__name__
    sys.stderr.write(f"error in hepml-nb itself: {kind}: {error}; --debug shows where. Please report it.\n")
    return 4
