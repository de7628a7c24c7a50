"""A sweep keeps one row per finished run, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError, NotFound, RunError
from hepml_nb.runtime import sweep as spec_module

SPEC = """title: A toy curve
entry: hepml_nb.core:derive_seed
dataset: none
profile: long
minutes: 1
grid: {method: [cut, pfn], seed: [0, 1, 2]}
"""
ENTRY = """import os, pathlib, time
import numpy as np
from hepml_nb.core import Result

LOG = pathlib.Path(__file__).with_name("log")

def run(point):
    with LOG.open("a") as stream:
        stream.write(f"{point['method']}{point['seed']} ")
    if point == {"method": "pfn", "seed": 1} and "FAIL" in os.environ:
        raise ValueError("this point fails")
    if point == {"method": "pfn", "seed": 0} and "HANG" in os.environ:
        time.sleep(600)
    return {"auc": Result(0.9, 0.01, 100), "n": np.int64(7)}
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sweep(workbench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of six points; its entry, outside hepml_nb, logs each call."""
    folder = workbench / "notebooks" / "sweeps" / "toys"
    folder.mkdir(parents=True)
    (folder / "curve.yaml").write_text(SPEC)
    (tmp_path / "toyentry.py").write_text(ENTRY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(spec_module, "identity", lambda name, profile: "same")
    monkeypatch.delitem(sys.modules, "toyentry", raising=False)
    return workbench / "notebooks" / "results" / "toys" / "curve.long.jsonl"


def run(**options: Any) -> runtime.SweepReport:
    return runtime.run_sweep("toys/curve", entry="toyentry:run", **options)


def test_every_point_gives_one_row(sweep: Path) -> None:
    assert runtime.sweeps() == ["toys/curve"]
    report = run()
    assert (report.done, report.skipped, report.left) == (6, 0, 0)
    row = json.loads(sweep.read_text().splitlines()[0])
    assert (row["schema"], row["sweep"], row["point"]) == (1, "toys/curve", {"method": "cut", "seed": 0})
    assert row["row"]["auc"]["value"] == 0.9
    assert row["row"]["n"] == 7
    assert str(run()) == "0 run, 6 were there, 0 of them stale, 0 left"


def test_a_limit_stops_and_the_next_call_goes_on(sweep: Path, tmp_path: Path) -> None:
    assert run(limit=2).left == 4
    assert run().done == 4
    assert (tmp_path / "log").read_text() == "cut0 cut1 cut2 pfn0 pfn1 pfn2 "
    assert [one["point"]["seed"] for one in runtime.rows("toys/curve")] == [0, 1, 2, 0, 1, 2]


def test_a_time_budget_starts_no_run_that_would_not_fit(sweep: Path) -> None:
    run(limit=1)
    line = json.loads(sweep.read_text())
    sweep.write_text(json.dumps({**line, "seconds": 3600.0}) + "\n")
    assert run(minutes=1).left == 5
    assert run(minutes=61).done == 5


def test_a_failing_point_is_reported_and_the_others_are_kept(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(RunError, match=r"1 of 6 runs failed(?s:.)*this point fails"):
        run()
    assert len(runtime.rows(sweep)) == 5
    monkeypatch.delenv("FAIL")
    assert run().done == 1


def test_a_killed_sweep_loses_only_the_running_point(sweep: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; from hepml_nb.runtime import sweep; "
    code += "sweep.identity = lambda name, profile: 'same'; sweep.run_sweep('toys/curve', entry='toyentry:run')"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(ROOT)], env={**os.environ, "HANG": "1"})
    end = time.monotonic() + 60
    while not ((tmp_path / "log").exists() and "pfn0" in (tmp_path / "log").read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with sweep.open("a") as stream:
        stream.write('{"schema": 1, "poi')  # a line torn in the middle
    assert len(runtime.rows(sweep)) == 3
    assert run().done == 3
    assert len(runtime.rows(sweep)) == 6
    assert (tmp_path / "log").read_text() == "cut0 cut1 cut2 pfn0 pfn0 pfn1 pfn2 "


def test_rows_of_older_data_are_stale_and_rerun_on_demand(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(spec_module, "identity", lambda name, profile: "other")
    report = run()
    assert (report.done, report.skipped, report.stale) == (0, 6, 6)
    assert run(rerun_stale=True).done == 6
    assert len(runtime.rows(sweep)) == 6  # the latest of each point
    assert len(sweep.read_text().splitlines()) == 12
    assert all(one["stale"] for one in runtime.rows("toys/curve"))  # made by another entry than the spec's


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: A toy curve", "titel: A toy curve", "did you mean 'title'"),
        ("minutes: 1", "minutes: soon", "minutes missing or of the wrong type"),
        ("hepml_nb.core:derive_seed", "os:system", "must be a function of hepml_nb"),
        ("[0, 1, 2]", "3", "list of values"),
        ("grid: {", "grid: {{", "not YAML"),
    ],
)
def test_a_bad_spec_is_one_clear_message(sweep: Path, workbench: Path, old: str, new: str, message: str) -> None:
    path = workbench / "notebooks" / "sweeps" / "toys" / "curve.yaml"
    path.write_text(SPEC.replace(old, new))
    with pytest.raises(InputError, match=message):
        runtime.read_spec("toys/curve")


def test_several_grids_are_one_sweep_and_names_are_checked(sweep: Path, workbench: Path) -> None:
    path = workbench / "notebooks" / "sweeps" / "toys" / "curve.yaml"
    path.write_text(SPEC.split("grid")[0] + "grid:\n- {method: [cut]}\n- {method: [pfn], seed: [0, 1]}\n")
    assert len(runtime.read_spec("toys").points) == 3
    with pytest.raises(NotFound, match="did you mean 'toys/curve'"):
        runtime.read_spec("toys/curv2")
    with pytest.raises(NotFound, match="cannot be imported"):
        runtime.run_sweep("toys/curve", entry="toyentry:walk")


def test_a_dask_client_runs_the_points(sweep: Path) -> None:
    distributed = pytest.importorskip("dask.distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        assert run(client=client).done == 6
    assert [one["row"]["n"] for one in runtime.rows("toys/curve")] == [7] * 6
    assert run().skipped == 6


def test_stale_rows_whose_numbers_come_out_equal_are_kept(sweep: Path, tmp_path: Path) -> None:
    run()
    module = tmp_path / "toyentry.py"
    module.write_text(ENTRY + "UNUSED = 1\n")
    assert run(limit=0).stale == 6
    assert runtime.confirm("toys/curve", entry="toyentry:run") == {"cut": [], "pfn": []}
    assert run(limit=0).stale == 0
    log = (tmp_path / "log").read_text().split()
    assert len(log) == 8  # one of each method again


def test_stale_rows_with_another_number_stay_stale(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    text = ENTRY.replace("np.int64(7)", "np.int64(8 if point['method'] == 'pfn' else 7)")
    (tmp_path / "toyentry.py").write_text(text)
    monkeypatch.delitem(sys.modules, "toyentry")
    assert runtime.confirm("toys/curve", entry="toyentry:run") == {"cut": [], "pfn": ["n"]}
    assert run(limit=0).stale == 3
