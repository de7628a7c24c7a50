"""Committed results are known to be stale, say why, and are made anew; two of them can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError

RECORD = """from hepml_nb import runtime
from hepml_nb.core import Result
run = runtime.start(profile, seed)
runtime.record("pfn.auc", Result(0.9, 0.01, 100))"""
FACTS: dict[str, Any] = {"minutes": {"smoke": 0.1, "tutorial": 0.2}}


def test_results_go_stale_for_a_reason_and_are_refreshed(make: Any, workbench: Path) -> None:
    make(RECORD, **FACTS)
    (one,) = runtime.staleness("tutorial")
    assert (one.stale, one.reasons) == (True, ("never run",))
    (done,) = runtime.refresh()
    path = workbench / "notebooks" / "results" / "toys" / "01_toy.tutorial.metrics.json"
    assert path == runtime.result_path("toys/01", "tutorial") == runtime.committed("tutorial")[0]
    assert json.loads(path.read_text(encoding="utf-8")) == done.metrics
    assert not runtime.staleness()[0].stale
    assert runtime.refresh() == []
    make(RECORD + "\n# a comment", **FACTS)
    assert not runtime.staleness("tutorial")[0].stale
    make(RECORD + "\nx = 1", **FACTS)
    assert runtime.staleness("tutorial")[0].reasons == ("its cells have changed",)
    make(RECORD, parameters='from typing import Literal\nprofile: Literal["tutorial"] = "tutorial"', **FACTS)
    assert runtime.staleness()[0].reasons == ("its parameters have changed",)
    (workbench / "notebooks" / "toys" / "01_toy.ipynb").unlink()
    assert runtime.staleness()[0].reasons == ("the notebook is gone",)


def test_stale_code_and_data_are_named(make: Any, workbench: Path) -> None:
    make(RECORD, **FACTS)
    done = runtime.run("toys/01", profile="smoke")
    sidecar = json.loads(json.dumps(done.metrics))
    sidecar["key"] = "0"
    sidecar["key_parts"]["code"] = {"stats": "0"}
    sidecar["key_parts"]["datasets"] = {"top-tagging": "0"}
    path = runtime.result_path("toys/01", "smoke")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(sidecar))
    (one,) = runtime.staleness()
    assert one.reasons == ("dataset top-tagging has changed", "the code of hepml_nb.stats has changed")
    assert "stale: dataset" in str(one)
    path.write_text("{}")
    with pytest.raises(InputError, match="not a metrics sidecar"):
        runtime.staleness()


def claims(*triples: tuple[str, str, float]) -> dict[str, Any]:
    made = [{"text": t, "outcome": o, "sigma": s, "difference": 0.1 * s, "error": 0.1} for t, o, s in triples]
    return {"claims": made}


def test_claims_are_held_to_their_own_sigma_and_to_what_the_notebook_expects() -> None:
    good = claims(("a beats b", "holds", 3.0), ("c beats d", "consistent", 1.0), ("e beats f", "reversed", -4.0))
    assert runtime.claim_problems(good, {"a beats b": "holds"}) == []
    assert runtime.claim_problems(claims(("a beats b", "holds", 1.0))) != []
    (wrong, lost) = runtime.claim_problems(good, {"c beats d": "holds", "g beats h": "holds"})
    assert "came out consistent, expected holds" in wrong
    assert "not judged" in lost


def sidecar(notebook: str, profile: str = "smoke", **metrics: tuple[float | None, float]) -> dict[str, Any]:
    made = [{"name": name.replace("_", "."), "value": v, "error": e} for name, (v, e) in metrics.items()]
    return {"schema": 1, "notebook": notebook, "profile": profile, "metrics": made, "claims": []}


def test_two_runs_are_compared_in_sigma(tmp_path: Path) -> None:
    a, b = sidecar("toys/01", pfn_auc=(0.90, 0.03), cut_auc=(0.8, 0.01)), sidecar("toys/01", pfn_auc=(0.95, 0.04))
    first, second = runtime.compare_runs(a, b)
    assert first.sigma == pytest.approx(1.0)
    assert first.difference == pytest.approx(0.05)
    assert (second.metric, second.b, second.sigma) == ("cut.auc", None, None)
    table = runtime.difference_table([first, second])
    assert "| toys/01 | pfn.auc | 0.900 ± 0.030 | 0.950 ± 0.040 | +0.05 | +1.0 |" in table
    for name, content in (("a", a), ("b", b)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "01.smoke.metrics.json").write_text(json.dumps(content))
    assert runtime.compare_runs(tmp_path / "a", tmp_path / "b") == [first, second]
    with pytest.raises(InputError, match="no notebook in common"):
        runtime.compare_runs(a, sidecar("toys/02", pfn_auc=(0.9, 0.1)))


def test_exact_numbers_have_no_sigma_unless_equal() -> None:
    a, b = sidecar("t", x_n=(3.0, 0.0), y_n=(3.0, 0.0)), sidecar("t", x_n=(3.0, 0.0), y_n=(4.0, 0.0))
    assert [one.sigma for one in runtime.compare_runs(a, b)] == [0.0, None]
