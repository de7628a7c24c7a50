"""Bands come from the spread of seeds, exclude the untrained method, and say by how much a number left them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError, NotFound
from hepml_nb.runtime import golden

TRAIN = '\ntrain: bool = True\nprofile: Literal["smoke", "tutorial"] = "smoke"\nseed: int = 0'


def sidecar(values: dict[str, float | None], errors: float = 0.001, better: str = "higher") -> dict[str, Any]:
    metrics = [{"name": name, "value": v, "error": errors, "n": 100, "better": better} for name, v in values.items()]
    return {"schema": 1, "notebook": "toys/01_toy", "profile": "smoke", "metrics": metrics, "claims": []}


@pytest.fixture
def runs(make: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A notebook whose runs need no kernel: an AUC of 0.95, 0.5 untrained; a count without any spread; a timing."""
    make(parameters="from typing import Literal" + TRAIN, trained=["pfn"])
    given: list[dict[str, Any]] = []

    def run(notebook: Any, parameters: Any = None, *, profile: str, seed: int, **options: Any) -> Any:
        given.append({**dict(parameters or {}), "seed": seed})
        trained = dict(parameters or {}).get("train", True)
        values = {"pfn.auc": 0.95 + 0.001 * seed if trained else 0.5, "jets.mass": 172.5, "pfn.jets_per_s": 1e3 * seed}
        return runtime.Run("toys/01_toy", profile, Path(), Path(), sidecar(values), 1.0, 1.0, False)

    monkeypatch.setattr(golden, "run", run)
    return given


def test_a_band_is_five_seed_spreads_or_three_stated_errors(runs: list[dict[str, Any]]) -> None:
    proposal = runtime.propose("toys/01")
    assert [one["seed"] for one in runs] == [0, 1, 2, 3, 4, 0]
    assert runs[-1]["train"] is False
    auc, mass = proposal.golden["metrics"]["pfn.auc"], proposal.golden["metrics"]["jets.mass"]
    assert auc["half_width"] == pytest.approx(5 * 0.00158114, rel=1e-4)
    assert (auc["value"], auc["untrained"], auc["kind"]) == (0.952, 0.5, "discriminating")
    assert mass["half_width"] == pytest.approx(3 * 0.001)
    assert mass["kind"] == "informative"
    assert "pfn.jets_per_s" not in proposal.golden["metrics"]
    assert (proposal.discriminating, proposal.informative, proposal.missing) == (["pfn.auc"], ["jets.mass"], [])
    assert "untrained 0.5, excluded" in str(proposal)
    assert runtime.golden_problems(proposal.golden) == []


def test_the_proposal_becomes_the_file_that_the_tests_read(runs: list[dict[str, Any]], workbench: Path) -> None:
    path = runtime.write_golden(runtime.propose("toys/01"))
    assert path == workbench / "tests" / "golden" / "toys" / "01_toy.smoke.json" == runtime.golden_path("toys/01")
    read = runtime.read_golden("toys/01")
    assert read is not None
    assert runtime.check(sidecar({"pfn.auc": 0.951, "jets.mass": 172.5, "pfn.seconds": 3.0}), read) == []
    assert runtime.read_golden("toys/01", "tutorial") is None
    path.write_text(json.dumps({"schema": 2}))
    with pytest.raises(InputError, match="not a golden file"):
        runtime.read_golden("toys/01")


def test_a_band_that_holds_the_untrained_method_is_said_plainly(
    runs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "ERRORS", 1000.0)
    proposal = runtime.propose("toys/01")
    assert proposal.missing == ["pfn"]
    assert "NOT excluded" in str(proposal)
    assert "NOT GOOD ENOUGH" in str(proposal)
    assert any("no band tells pfn" in line for line in runtime.golden_problems(proposal.golden))


def test_deviations_say_got_expected_band_and_distance(runs: list[dict[str, Any]]) -> None:
    bands = runtime.propose("toys/01").golden
    low, high, extra = runtime.check(sidecar({"pfn.auc": 0.5, "jets.mass": 172.6, "dnn.auc": 0.9}), bands)
    assert (low.metric, low.kind) == ("pfn.auc", "outside")
    assert low.distance == pytest.approx(0.952 - 0.0079057 - 0.5, rel=1e-3)
    assert "got 0.5, expected 0.952 in [" in str(low)
    assert high.kind == "improved"
    assert "please tighten" in str(high)
    assert (extra.metric, extra.kind) == ("dnn.auc", "extra")
    (missing,) = runtime.check(sidecar({"pfn.auc": 0.952}), bands)
    assert (missing.metric, missing.kind) == ("jets.mass", "missing")
    (nan, _) = runtime.check(sidecar({"pfn.auc": None}), bands)
    assert "got nan" in str(nan)


def test_better_is_not_improved_when_lower_is_good(runs: list[dict[str, Any]]) -> None:
    bands = runtime.propose("toys/01").golden
    assert {
        one.kind for one in runtime.check(sidecar({"pfn.auc": 0.99, "jets.mass": 172.5}, better="lower"), bands)
    } == {"outside"}


def test_four_seeds_names_that_vary_and_nothing_recorded_are_refused(
    runs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="at least 5 seeds"):
        runtime.propose("toys/01", seeds=4)
    content: list[dict[str, float | None]] = [{"pfn.auc": 0.9}] * 4 + [{"pfn.acc": 0.9}]

    def run(notebook: Any, parameters: Any = None, *, profile: str, seed: int) -> Any:
        return runtime.Run("toys/01_toy", profile, Path(), Path(), sidecar(content[seed]), 1.0, 1.0, False)

    monkeypatch.setattr(golden, "run", run)
    with pytest.raises(InputError, match="seed 4 records other metrics"):
        runtime.propose("toys/01")
    content[:] = [{"pfn.auc": 0.9}] * 4 + [{"pfn.auc": None}]
    with pytest.raises(InputError, match="nan with others"):
        runtime.propose("toys/01")
    content[:] = [{"pfn.jets_per_s": 0.9}] * 5
    with pytest.raises(InputError, match="no metric"):
        runtime.propose("toys/01")


@pytest.mark.parametrize(
    ("name", "timing"),
    [
        ("pfn.jets_per_s", True),
        ("caloflow.ms_per_shower.batch100", True),
        ("trees.seconds", True),
        ("pfn.auc", False),
        ("pfn.rejection.eff30", False),
    ],
)
def test_timings_are_known_by_name(name: str, timing: bool) -> None:
    assert runtime.is_timing(name) is timing


WORK = """import numpy as np
from hepml_nb import runtime
from hepml_nb.core import Result
run = runtime.start(profile, seed)
y = np.repeat([0, 1], 200)
score = np.random.default_rng(seed).normal(size=400) + 3 * train * y
auc = np.mean(score[y == 1][:, None] > score[y == 0])
runtime.record("pfn.auc", Result(auc, 0.01, 200))"""
BREAKS = [
    {"name": "wrong sign", "cell": "cell-2", "replace": "+ 3 *", "with": "- 3 *"},
    {"name": "crash", "cell": "cell-2", "replace": "y = np.repeat([0, 1], 200)", "with": "raise ValueError"},
    {"name": "rotten", "cell": "cell-2", "replace": "scores = 1", "with": "scores = 2"},
    {"name": "lost", "cell": "elsewhere", "replace": "a", "with": "b"},
]


def test_a_broken_copy_leaves_the_band_of_the_whole_notebook(make: Any) -> None:
    make(WORK, parameters="from typing import Literal" + TRAIN, trained=["pfn"], breaks=BREAKS[:2])
    auc = {"value": 0.98, "half_width": 0.03, "low": 0.95, "high": 1.01, "kind": "discriminating", "untrained": 0.5}
    good = runtime.run("toys/01", profile="smoke")
    assert runtime.check(good.metrics, {"metrics": {"pfn.auc": auc}}) == []
    broken = runtime.run(runtime.break_notebook("toys/01", "wrong sign"), profile="smoke")
    assert broken.notebook == "toys/01_toy"
    (deviation,) = runtime.check(broken.metrics, {"metrics": {"pfn.auc": auc}})
    assert deviation.kind == "outside"


def test_a_break_that_no_longer_fits_is_an_error(build: Any) -> None:
    node = build(WORK, breaks=BREAKS)
    assert [one.name for one in runtime.breaks(node)] == ["wrong sign", "crash", "rotten", "lost"]
    with pytest.raises(InputError, match=r"(?s)holds it 0 times.*np\.repeat"):
        runtime.break_notebook(node, "rotten")
    with pytest.raises(InputError, match="no code cells are called"):
        runtime.break_notebook(node, "lost")
    with pytest.raises(NotFound, match="did you mean 'wrong sign'"):
        runtime.break_notebook(node, "wrong sing")
    with pytest.raises(InputError, match="lacks with"):
        runtime.breaks(build(WORK, breaks=[{"name": "x", "cell": "a", "replace": "b"}]))
