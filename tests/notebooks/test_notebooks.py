"""Every notebook keeps the contract, runs at smoke size, and gives the numbers that the golden files hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hepml_nb import runtime

MIB = 1.2 * 1024  # what Binder leaves a kernel
CPU_SECONDS = 60.0  # 30 s on two cores; processor time, so that a busy machine fails nobody


def report(name: str, found: Sequence[runtime.Deviation], executed: object) -> str:
    """Return what a person needs who sees the test fail."""
    lines = [f"{name} left its bands:", *(f"  {one}" for one in found), f"executed: {executed}"]
    return "\n".join([*lines, f"if the change is meant: hepml-nb golden {name} --seeds 5"])


def golden(name: str) -> dict[str, object]:
    found = runtime.read_golden(name)
    assert found is not None, f"{name} has no golden file; propose one: hepml-nb golden {name} --seeds 5"
    return found


def test_contract(notebook: str) -> None:
    found = runtime.problems(notebook)
    assert not found, "\n".join([f"{notebook} breaks the contract:", *found])


@pytest.mark.notebook
def test_smoke_run_keeps_budget_and_bands(notebook: str) -> None:
    run = runtime.run(notebook, profile="smoke", memory_mib=MIB)
    assert run.metrics["cpu_seconds"] <= CPU_SECONDS, f"{notebook} took {run.metrics['cpu_seconds']:.0f} core seconds"
    assert str(runtime.find(notebook).parents[1]) not in run.executed.read_text(encoding="utf-8")
    if run.metrics["metrics"]:
        found = runtime.check(run.metrics, golden(notebook))
        assert not found, report(notebook, found, run.executed)


@pytest.mark.notebook
def test_a_broken_copy_is_noticed(notebook: str, broken: str) -> None:
    copy = runtime.break_notebook(notebook, broken)
    try:
        run = runtime.run(copy, profile="smoke", memory_mib=MIB)
    except runtime.NotebookError as error:
        if error.reason == "error":  # its own asserts noticed; a hang or a crash is no answer
            return
        raise
    assert runtime.check(run.metrics, golden(notebook)), f"{notebook} with {broken!r} still lies in all its bands"


@pytest.mark.notebook
def test_untrained_methods_leave_their_bands(switchable: str) -> None:
    run = runtime.run(switchable, {"train": False}, profile="smoke", memory_mib=MIB)
    outside = {one.metric for one in runtime.check(run.metrics, golden(switchable))}
    for method in runtime.info(switchable).metadata["trained"]:
        assert any(name.startswith(f"{method}.") for name in outside), f"an untrained {method} lies in all its bands"


def test_golden_files_keep_the_rule(recording: str) -> None:
    found = runtime.read_golden(recording)
    if found is not None:
        assert found["notebook"] == recording
        assert found["trained"] == runtime.info(recording).metadata.get("trained", [])
        assert not runtime.golden_problems(found)


def test_each_golden_file_has_its_notebook() -> None:
    from hepml_nb.core import golden_dir

    names = [path.relative_to(golden_dir()).as_posix() for path in golden_dir().rglob("*.smoke.json")]
    assert {name.removesuffix(".smoke.json") for name in names} <= set(runtime.discover())


def test_committed_claims_hold_what_they_say() -> None:
    for path in runtime.committed():
        sidecar = runtime.read_sidecar(path)
        expected = {}
        if sidecar["profile"] == "tutorial" and sidecar["notebook"] in runtime.discover():
            expected = runtime.info(sidecar["notebook"]).metadata.get("claims", {})
        found = runtime.claim_problems(sidecar, expected)
        assert not found, "\n".join([path.name, *found])


def test_committed_results_are_numbers_with_errors() -> None:
    for path in runtime.committed():
        for metric in runtime.read_sidecar(path)["metrics"]:
            assert metric["value"] is not None, f"{path.name}: {metric['name']} is nan or infinite"
            assert metric["error"] is not None, f"{path.name}: {metric['name']} has no error"


def test_committed_rows_of_sweeps_are_whole() -> None:
    for name in runtime.sweeps():
        spec = runtime.read_spec(name)
        lines = spec.rows_path.read_text(encoding="utf-8").splitlines() if spec.rows_path.exists() else []
        assert len(runtime.rows(spec.rows_path)) == len(lines), f"{spec.rows_path.name} holds torn or repeated rows"
