"""An unchanged run is read, a changed or damaged one executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from hepml_nb import runtime
from hepml_nb.runtime import cache as runs
from hepml_nb.runtime import kernel

COUNT = "import pathlib\nwith pathlib.Path({path!r}).open('a') as stream: stream.write('x')"


@pytest.fixture
def counted(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets an x each time the notebook would be executed; no kernel is started."""
    path = tmp_path / "count"
    path.touch()
    make("1")
    monkeypatch.setattr(kernel, "execute", lambda execution: path.write_text(path.read_text() + "x"))
    return path


def test_the_second_run_does_not_execute(make: Any, tmp_path: Path) -> None:
    counted = tmp_path / "count"
    make(COUNT.format(path=str(counted)))
    first = runtime.run("toys/01")
    again = runtime.run("toys/01", out=tmp_path / "out")
    assert (first.cached, again.cached) == (False, True)
    assert counted.read_text() == "x"
    assert again.executed.read_bytes() == first.executed.read_bytes()
    assert again.metrics == first.metrics


def test_parameters_seed_profile_and_text_make_another_run(counted: Path, make: Any) -> None:
    node = runtime.read("toys/01")
    key = runs.cache_key(node, runtime.validate(node, {}), "smoke")
    assert runs.cache_key(node, runtime.validate(node, {"seed": 1}), "smoke").hex != key.hex
    assert runs.cache_key(node, runtime.validate(node, {}), "smoke", {"A": "1"}).hex != key.hex
    node.cells[0]["source"] += "\nA better sentence."
    other = runs.cache_key(node, runtime.validate(node, {}), "smoke")
    assert other.hex != key.hex
    assert other.results().hex == key.results().hex  # a sentence does not make a committed result stale


def test_a_comment_keeps_the_results_key_and_a_number_does_not(build: Any) -> None:
    keys = [runs.results_key(build(cell), {}, "smoke").hex for cell in ("x = 1", "x = 1  # one", "x = 2")]
    assert keys[0] == keys[1] != keys[2]


def code_of(cell: str, build: Any) -> dict[str, str]:
    return dict(runs.results_key(build("from hepml_nb import tagging\n" + cell), {}, "smoke").parts["code"])


def test_the_results_key_names_the_packages_that_the_notebook_uses(build: Any) -> None:
    cell = "from hepml_nb import simulate, data, plots, stats\nfrom hepml_nb.learn import fit\nsimulate.Detector()"
    assert set(code_of(cell, build)) == {"learn", "simulate", "stats", "tagging"}


def test_only_the_methods_that_cells_name_count(build: Any) -> None:
    names = ("labels_of", "make('cut')", "make('pfn')", "make('gn2')", "methods()", "multi_methods()")
    calls = [f"tagging.{name}" for name in names]
    assert len({code_of(call, build)["tagging"] for call in calls}) == len(calls)
    assert "tagging" not in code_of("tagging.make('no such')", build)


def test_outputs_do_not_count(build: Any) -> None:
    node = build("print(1)")
    key = runs.cache_key(node, {}, "smoke").hex
    node.cells[-1]["outputs"] = [nbformat.v4.new_output("stream", text="1")]
    node.cells[-1]["execution_count"] = 3
    assert runs.cache_key(node, {}, "smoke").hex == key


@pytest.mark.parametrize("damage", ["executed.ipynb", "metrics.json", "seal.json"])
def test_a_damaged_entry_is_executed_again(counted: Path, damage: str) -> None:
    folder = runtime.run("toys/01").executed.parent
    (folder / damage).write_text("{", encoding="utf-8")
    assert not runtime.run("toys/01").cached
    assert counted.read_text() == "xx"
    assert runtime.run("toys/01").cached


def test_cache_false_executes_and_clear_forgets(counted: Path) -> None:
    runtime.run("toys/01")
    runtime.run("toys/01", cache=False)
    assert counted.read_text() == "xx"
    assert runtime.clear_runs("toys/01") == 1
    assert runtime.clear_runs() == 0


def test_a_failed_run_is_not_kept_as_a_result(make: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    make(f"import pathlib\nassert pathlib.Path({str(mark)!r}).exists()")
    with pytest.raises(runtime.NotebookError) as caught:
        runtime.run("toys/01")
    assert caught.value.executed.exists()
    mark.touch()
    assert not runtime.run("toys/01").cached
    assert not caught.value.executed.exists()  # it would only mislead now


def test_only_the_latest_runs_are_kept(workbench: Path, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_KEEP", 3)
    for seed in range(5):
        runs.store("toys/01_toy", runs.Key({"seed": seed}), build("1"), {"seconds": 1.0})
    assert runs.entry("toys/01_toy", runs.Key({"seed": 0})) is None
    kept = runs.entry("toys/01_toy", runs.Key({"seed": 4}))
    assert kept is not None
    assert json.loads(kept.sidecar.read_text(encoding="utf-8")) == {"seconds": 1.0}
