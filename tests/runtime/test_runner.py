"""Whatever happens in a notebook, one message says where, and the executed copy is kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError, NotFound
from hepml_nb.runtime import kernel

ROOT = Path(__file__).parents[2]
RECORD = """from hepml_nb import runtime
from hepml_nb.core import Result
run = runtime.start(profile, seed)
runtime.record("pfn.auc", Result(0.9, 0.01, 100))
runtime.record("pfn.rejection.eff30", Result(50.0 + epochs, 3.0, 100))"""
LOOK = """import os
print(os.environ["HEPML_NB_BATCH"], os.environ["HEPML_NB_PROFILE"], run.profile, os.listdir(), os.getcwd())
open("left.txt", "w").close()"""


def stopped(error: runtime.NotebookError) -> str:
    """Check that the executed copy was kept with the message on top, free of this machine's paths; return its text."""
    text = error.executed.read_text(encoding="utf-8")
    node = nbformat.reads(text, as_version=4)
    assert "did not end well" in node.cells[0].source
    assert "papermill" not in node.metadata
    return text


def test_a_good_run_gives_metrics_sidecar_and_executed_copy(make: Any, tmp_path: Path) -> None:
    path = make(RECORD, LOOK)
    done = runtime.run("toys/01", {"epochs": 7}, profile="smoke", seed=2, out=tmp_path / "out")
    assert done.executed == tmp_path / "out" / "01_toy.smoke.ipynb"
    sidecar = json.loads((tmp_path / "out" / "01_toy.smoke.metrics.json").read_text(encoding="utf-8"))
    assert sidecar == done.metrics
    assert (sidecar["notebook"], sidecar["profile"], sidecar["seed"]) == ("toys/01_toy", "smoke", 2)
    assert sidecar["parameters"]["epochs"] == 7
    assert [m["value"] for m in sidecar["metrics"]] == [0.9, 57.0]
    assert sidecar["claims"] == sidecar["dataset"] == []
    assert sidecar["versions"]["numpy"]
    assert sidecar["revision"] == "unknown"  # the workbench of this test is no git checkout
    assert 20 < sidecar["peak_mib"] < 2000
    assert sidecar["cpu_seconds"] > 0
    text = done.executed.read_text(encoding="utf-8")
    assert "1 smoke smoke [] ." in text  # batch, profile, an empty scratch folder whose name is nobody's business
    assert str(tmp_path) not in text
    assert "papermill" not in text
    assert list(path.parent.iterdir()) == [path]  # nothing written beside the notebook


def test_wrong_parameters_never_start_a_kernel(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make(RECORD)
    monkeypatch.setattr(kernel, "execute", lambda execution: pytest.fail("a kernel was started"))
    with pytest.raises(NotFound, match="did you mean 'epochs'"):
        runtime.run("toys/01", {"epoch": 7})
    with pytest.raises(InputError, match="expected int"):
        runtime.run("toys/01", {"epochs": "seven"})
    with pytest.raises(InputError, match="given twice"):
        runtime.run("toys/01", {"seed": 1}, seed=2)
    make("1", parameters=None)
    with pytest.raises(InputError, match="no cell tagged 'parameters'"):
        runtime.run("toys/01")


def test_the_environment_sets_the_default_profile_and_an_explicit_one_wins(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(RECORD)
    given: list[str] = []
    monkeypatch.setattr(kernel, "execute", lambda execution: given.append(execution.env["HEPML_NB_PROFILE"]))
    monkeypatch.setenv("HEPML_NB_PROFILE", "smoke")
    assert runtime.run("toys/01").profile == "smoke"
    done = runtime.run("toys/01", profile="full")
    assert done.profile == done.metrics["profile"] == "full"
    assert runtime.run("toys/01", {"profile": "tutorial"}).profile == "tutorial"
    assert given == ["smoke", "full", "tutorial"]


def test_a_failing_cell_is_reported_with_number_source_and_traceback(make: Any) -> None:
    make("x = 0", "def ratio():\n    return 1 / x\nratio()")
    with pytest.raises(runtime.NotebookError) as caught:
        runtime.run("toys/01")
    error = caught.value
    assert (error.reason, error.cell) == ("error", 4)
    assert error.source.startswith("def ratio")
    assert "ZeroDivisionError: division by zero" in str(error)
    assert "return 1 / x" in error.traceback
    assert len(error.traceback.splitlines()) <= 20
    assert "\x1b" not in str(error)
    assert str(error.executed) in str(error)
    stopped(error)


def test_a_hanging_cell_is_interrupted_and_its_traceback_says_where(make: Any) -> None:
    make("import time", "def wait():\n    while True:\n        time.sleep(0.05)\nwait()")
    start = time.monotonic()
    with pytest.raises(runtime.NotebookError, match=r"ran longer than 1 s, the limit for one cell") as caught:
        runtime.run("toys/01", cell_timeout=1.0)
    assert time.monotonic() - start < 60
    assert (caught.value.reason, caught.value.cell) == ("timeout", 4)
    assert "in wait()" in caught.value.traceback
    stopped(caught.value)


def test_a_cell_that_ignores_interrupts_is_killed_when_all_time_is_up(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepml_nb.runtime import runner

    monkeypatch.setattr(runner, "Watchdog", lambda limits: runner_watchdog(limits, grace=0.5))
    make("import time\nfor i in range(10**9):\n    try:\n        time.sleep(0.05)\n    except KeyboardInterrupt: pass")
    with pytest.raises(runtime.NotebookError, match="the limit for all cells") as caught:
        runtime.run("toys/01", total_timeout=2.0)
    assert caught.value.reason == "timeout"
    stopped(caught.value)


def runner_watchdog(limits: Any, grace: float) -> Any:
    from hepml_nb.runtime.watchdog import Watchdog

    return Watchdog(limits, grace=grace)


def test_a_killed_kernel_is_a_dead_kernel_with_its_memory(make: Any) -> None:
    make("import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(runtime.NotebookError, match=r"killed \(signal 9\).*MiB") as caught:
        runtime.run("toys/01")
    assert (caught.value.reason, caught.value.cell) == ("dead", 4)
    stopped(caught.value)


def test_a_crash_in_compiled_code_leaves_its_traceback(make: Any) -> None:
    make("import ctypes", "def crash():\n    return ctypes.string_at(0)\ncrash()")
    with pytest.raises(runtime.NotebookError, match="signal 11") as caught:
        runtime.run("toys/01")
    assert "Segmentation fault" in caught.value.traceback
    assert "in string_at" in caught.value.traceback


def test_memory_beyond_the_limit_stops_the_kernel_and_its_children(make: Any) -> None:
    cell = """import subprocess, sys, time
import numpy as np
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid)
kept = []
while True:
    kept.append(np.ones(2**20))
    time.sleep(0.02)"""
    make(cell)
    with pytest.raises(runtime.NotebookError, match=r"took \d+ MiB; the limit is 300 MiB") as caught:
        runtime.run("toys/01", memory_mib=300)
    assert (caught.value.reason, caught.value.cell) == ("memory", 3)
    text = stopped(caught.value)
    (found,) = re.findall(r"child (\d+)", text)
    child = int(found)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_memory_and_time_of_children_count(make: Any) -> None:
    child = "x = bytearray(150 * 2**20); import time\nwhile time.process_time() < 1.5: pass"
    make(f"import subprocess, sys\ndone = subprocess.run([sys.executable, '-c', {child!r}], check=True)")
    done = runtime.run("toys/01")
    assert done.peak_mib > 190
    assert done.metrics["cpu_seconds"] > 1.5


TAKEN = """import pathlib, sys
mark = pathlib.Path({mark!r})
if mark.read_text().count("x") < {times}:
    mark.write_text(mark.read_text() + "x")
    sys.exit("zmq.error.ZMQError: {error}")
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""


@pytest.mark.parametrize(
    ("error", "times", "good"),
    [("Address already in use", 1, True), ("Address already in use", 2, False), ("Permission denied", 1, False)],
)
def test_only_a_taken_port_is_tried_again_and_only_once(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, times: int, good: bool
) -> None:
    mark, script = tmp_path / "mark", tmp_path / "launch.py"
    mark.write_text("")
    script.write_text(TAKEN.format(mark=str(mark), times=times, error=error))
    spec = kernel.KernelSpec(argv=[sys.executable, str(script), "-f", "{connection_file}"], language="python")
    monkeypatch.setattr(kernel._Kernel, "kernel_spec", spec)
    make("1")
    if good:
        assert runtime.run("toys/01").metrics["metrics"] == []
    else:
        with pytest.raises(runtime.NotebookError, match="did not come up") as caught:
            runtime.run("toys/01")
        assert caught.value.reason == "start"
        assert error in caught.value.traceback
    assert mark.read_text() == "x" * min(times, 2 if error.startswith("Address") else 1)


def test_parallel_processes_do_not_collide_and_one_run_is_executed_once(make: Any, tmp_path: Path) -> None:
    count = "import pathlib\nwith pathlib.Path({!r}).open('a') as stream: stream.write('x')"
    for number in range(2):
        make(count.format(str(tmp_path / f"count{number}")), name=f"toys/0{number}_toy")
    code = (
        "import sys; from hepml_nb import runtime; print(runtime.run(sys.argv[1], profile='smoke').metrics['notebook'])"
    )
    names = ["toys/00_toy", "toys/01_toy", "toys/01_toy"]
    started = [
        subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for name in names
    ]
    assert [process.communicate(timeout=300)[0].strip() for process in started] == names
    assert [(tmp_path / f"count{number}").read_text() for number in range(2)] == ["x", "x"]
