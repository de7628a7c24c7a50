"""The command line: quick to start, plain in its errors, honest in its exit codes."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hepml_nb.cli import build_parser, doctor, main
from hepml_nb.cli.notebooks import lab_command
from hepml_nb.runtime.golden import golden_path
from hepml_nb.runtime.notebooks import nbformat as quick_nbformat

HEAVY = ("numpy", "torch", "matplotlib", "papermill", "nbformat", "jinja2", "yaml", "pandas", "awkward", "jupyter")
PARAMETERS = """from typing import Literal

profile: Literal["smoke", "tutorial", "full"] = "tutorial"
seed: int = 0
epochs: int = 3  # passes over the data"""
RECORDS = """from hepml_nb.core import Result
from hepml_nb.runtime import record, start

run = start(profile, seed)
record("toy.auc", Result(0.9, 0.01, 100));"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout with a cache of its own; the working folder is another."""
    root = tmp_path / "bench"
    for folder in ("notebooks/toys", "data_manifests", "tests/golden", "work"):
        (root / folder).mkdir(parents=True)
    monkeypatch.setenv("HEPML_NB_HOME", str(root))
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEPML_NB_PROFILE", raising=False)
    monkeypatch.chdir(root / "work")
    return root


@pytest.fixture
def write(bench: Path) -> Callable[..., Path]:
    """Write notebooks/toys/<name>.ipynb of code cells."""

    def make(*cells: str, name: str = "01_toy", tags: tuple[str, ...] = ()) -> Path:
        v4 = quick_nbformat().v4
        metadata = {"hepml": {"title": "Toy", "topic": "toys", "minutes": {"smoke": 0.1, "tutorial": 2}}}
        node = v4.new_notebook(metadata=metadata, cells=[v4.new_markdown_cell("# Toy")])
        node.cells.append(v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
        node.cells += [v4.new_code_cell(cell, metadata={"tags": list(tags)}) for cell in cells]
        path = bench / "notebooks" / "toys" / f"{name}.ipynb"
        path.write_text(quick_nbformat().writes(node), encoding="utf-8")
        return path

    return make


def subcommands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (words, parser) of every command, nested ones too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield (*words, name), one
                yield from subcommands(one, (*words, name))


COMMANDS = dict(subcommands(build_parser()))
LEAVES = {
    words: parser
    for words, parser in COMMANDS.items()
    if not any(w[: len(words)] == words and w != words for w in COMMANDS)
}


def test_help_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from hepml_nb.cli import build_parser; build_parser().format_help(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_commands_are_those_of_the_readme() -> None:
    names = {words[0] for words in LEAVES}
    assert names == {
        "list",
        "run",
        "report",
        "sweep",
        "golden",
        "compare",
        "results",
        "data",
        "export",
        "doctor",
        "lab",
        "apply",
    }
    assert {words[1] for words in LEAVES if words[0] == "data"} == {
        "list",
        "show",
        "make",
        "fetch",
        "verify",
        "add",
        "pack",
        "unpack",
    }


@pytest.mark.parametrize("words", LEAVES, ids="-".join)
def test_every_help_has_examples_that_parse_and_the_exit_codes(words: tuple[str, ...]) -> None:
    text = LEAVES[words].format_help()
    assert "exit codes:" in text
    lines = [line.strip() for line in text.partition("examples:")[2].splitlines()]
    examples = [line for line in lines if line.startswith("hepml-nb ")]
    assert examples
    for example in examples:
        arguments = [word for word in shlex.split(example)[1:] if word != "--help"]
        parsed = build_parser().parse_args(arguments)
        assert callable(parsed.handler)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["data", "make", "-h"]])
def test_help_and_version_leave_with_0(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 0
    assert "hepml-nb" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["run"], ["run", "x", "--profile", "huge"], ["run", "x", "--timeout", "-3"]]
)
def test_misuse_leaves_with_2(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys: Any) -> None:
    assert main([]) == 2
    assert main(["data"]) == 2
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "toys/99"], "there is no notebook 'toys/99'; did you mean 'toys/01_toy'?"),
        (["run", "toys/01", "-p", "epoch=3"], "did you mean 'epochs'?"),
        (["run", "toys/01", "-p", "epochs=many"], "epochs"),
        (["run", "toys/01", "-p", "epochs"], "name=value"),
        (["report", "toys/01", "-p", "epoch=3"], "did you mean 'epochs'?"),
        (["report", "-p", "epochs=3"], "-p belongs to one notebook"),
        (["report", "toys/01", "--dataset", "mine"], "'dataset'"),
        (["report", "--dataset", "mine"], "there is no dataset 'mine'"),
        (["report", "scores", "a.parquet", "--dataset", "mine"], "--dataset is for notebooks"),
        (["report", "scores"], "takes one Parquet file"),
        (["report", "scores", "gone.parquet"], "gone.parquet"),
        (["export", "toys/01", "--student"], "no cell tagged 'solution'"),
        (["sweep", "nothing"], "nothing"),
        (["golden", "toys/01", "--seeds", "2"], "at least 5 seeds"),
        (["compare", "a.json", "b.json"], "a.json"),
        (["data", "show", "nothing"], "there is no dataset 'nothing'"),
    ],
)
def test_input_that_cannot_be_used_is_one_message_and_2(
    write: Callable[..., Path], capsys: Any, arguments: list[str], words: str
) -> None:
    write("1")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_debug_shows_where(bench: Path) -> None:
    with pytest.raises(LookupError):
        main(["run", "toys/99", "--debug"])


def test_a_bug_of_ours_is_owned_up_to(bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from hepml_nb.runtime import notebooks

    def broken() -> list[str]:
        raise KeyError("oops")

    monkeypatch.setattr(notebooks, "discover", broken)
    assert main(["list"]) == 4
    assert "error in hepml-nb itself: KeyError: 'oops'" in capsys.readouterr().err


def test_ctrl_c_leaves_with_130(bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from hepml_nb.runtime import notebooks

    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(notebooks, "discover", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_list_for_people_and_machines(write: Callable[..., Path], capsys: Any) -> None:
    write("1")
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["toys/01_toy", "Toy", "6", "s", "2", "min"]
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "toys/01_toy"
    assert main(["list", "toys"]) == 0
    assert "passes over the data" in capsys.readouterr().out
    assert main(["list", "toys", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Toy"


def test_help_of_a_notebook_shows_its_parameters(write: Callable[..., Path], capsys: Any) -> None:
    write("1")
    for command in ("run", "report"):
        with pytest.raises(SystemExit):
            main([command, "toys/01", "--help"])
        assert "passes over the data" in capsys.readouterr().out


def test_run_prints_numbers_and_compares_them_with_their_bands(write: Callable[..., Path], capsys: Any) -> None:
    path = write(RECORDS)
    assert main(["run", "toys/01", "--profile", "smoke", "--out", "runs"]) == 0
    shown = capsys.readouterr()
    assert "0.900 ± 0.010" in shown.out
    assert Path("runs/01_toy.smoke.ipynb").exists()
    golden = golden_path(path)
    golden.parent.mkdir(parents=True, exist_ok=True)
    entry = {"value": 0.5, "low": 0.4, "high": 0.6, "kind": "informative"}
    golden.write_text(json.dumps({"schema": 1, "metrics": {"toy.auc": {**entry}}}))
    assert main(["run", "toys/01", "--profile", "smoke", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["cached"]
    assert "toy.auc" in result["deviations"][0]
    assert main(["run", "toys/01", "--profile", "smoke", "--no-check"]) == 0
    assert main(["run", "toys/01", "--profile", "smoke", "-p", "epochs=4"]) == 0  # the bands are of other parameters
    assert main(["compare", "runs", "runs/01_toy.smoke.metrics.json", "--sigma", "1"]) == 0
    assert "| toys/01_toy | toy.auc |" in capsys.readouterr().out


def test_a_failing_notebook_leaves_with_3_and_its_cell(write: Callable[..., Path], capsys: Any) -> None:
    write("secret = 1 / 0")
    assert main(["run", "toys/01", "--profile", "smoke"]) == 3
    shown = capsys.readouterr().err
    assert "secret = 1 / 0" in shown
    assert "ZeroDivisionError" in shown
    assert main(["report", "toys/01"]) == 3
    assert "This run failed" in Path("my_report/index.html").read_text(encoding="utf-8")


def test_report_of_everything(write: Callable[..., Path], capsys: Any) -> None:
    write(RECORDS)
    assert main(["report", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["index"] == "report/index.html"
    assert "[1/1] toys/01_toy" in shown.err
    assert Path("report/toys/01_toy.html").exists()


def test_results_and_sweeps_say_what_is_stale(write: Callable[..., Path], capsys: Any) -> None:
    write("1")
    assert main(["results"]) == 0
    assert "never run" in capsys.readouterr().out
    assert main(["results", "--check"]) == 1
    assert main(["results", "--json"]) == 0
    capsys.readouterr()
    assert main(["sweep"]) == 0
    assert "no sweeps" in capsys.readouterr().out


def test_export_prints_the_file(write: Callable[..., Path], capsys: Any) -> None:
    write("answer = 42", tags=("solution",))
    assert main(["export", "toys/01", "--student"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == Path("01_toy.student.ipynb")
    assert "answer = 42" not in path.read_text(encoding="utf-8")


def test_data_describes_what_ships(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path))
    assert main(["data", "list", "--json"]) == 0
    names = list(json.loads(capsys.readouterr().out))
    assert "top-tagging" in names
    assert main(["data", "show", "top-tagging"]) == 0
    assert "GeV" in capsys.readouterr().out
    assert main(["data", "make", "top-tagging", "--estimate"]) == 0
    assert "core-seconds" in capsys.readouterr().out
    assert main(["data", "verify", "top-tagging"]) == 0
    assert "damaged" not in capsys.readouterr().out


def test_the_doctor_names_a_fix_and_never_faints(bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken() -> Any:
        raise RuntimeError("no pulse")

    monkeypatch.setattr(doctor, "_memory", broken)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "could not be examined: RuntimeError: no pulse" in shown
    assert "HEPML_NB_HOME" in shown  # the fix for a bench without notebooks
    assert main(["doctor", "--json"]) == 1
    checks = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert checks["python"]["state"] == "ok"
    assert all(one["fix"] for one in checks.values() if one["state"] == "warn")


def test_lab_stays_on_this_machine(bench: Path) -> None:
    command = lab_command(9000, browser=False)
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--ServerApp.port=9000" in command
    assert "--ServerApp.open_browser=False" in command
    assert f"--ServerApp.root_dir={bench}" in command
