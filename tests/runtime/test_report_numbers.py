"""Rows of numbers say in words where they lie."""

from __future__ import annotations

from typing import Any

from hepml_nb.runtime.report_numbers import applicable_golden, bands, claim_rows, rows, tally


def metric(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    blank = {"error": 0.01, "n": 1000, "seeds": 1, "floor": None, "baseline": None, "better": "higher", "low": None}
    return {"name": name, "value": value, **blank, "high": None, "definition": "", "published": None, **more}


GOLDEN = {
    "schema": 1,
    "metrics": {
        name: {"value": 0.9, "low": 0.8, "high": 1.0, "kind": "informative"} for name in ("a.auc", "b.auc", "c.auc")
    },
}


def test_verdicts_are_words_and_signs() -> None:
    sidecar = {"metrics": [metric("a.auc", 0.9), metric("b.auc", 0.5), metric("c.auc", 1.1)]}
    found = bands(sidecar, GOLDEN)
    assert [(one.word, one.mark) for one in found.values()] == [
        ("inside", "✓"),
        ("outside", "✗"),
        ("better than its band", "↑"),
    ]
    assert found["a.auc"].range == "0.8 to 1"
    assert tally(found) == ("1 of 3 numbers outside their bands", "✗", "bad")
    lost = bands({"metrics": sidecar["metrics"][:2]}, GOLDEN)
    assert (lost["c.auc"].word, lost["c.auc"].css) == ("not recorded", "bad")
    assert tally(bands(sidecar, None)) == ("no bands", "–", "none")


def test_rows_carry_everything_a_referee_asks_for() -> None:
    published = {"ref": "t:PFN:auc", "value": 0.9819, "error": None, "source": "arXiv:2405.14806 Table 1"}
    one = metric("pfn.auc", 0.95, floor=0.99, baseline=0.85, published=published, seeds=3, definition="area")
    row = rows({"metrics": [one]}, {})[0]
    assert row.name == "pfn.auc ↑"
    assert row.value == "0.950 ± 0.010"
    assert (row.floor, row.baseline, row.published) == ("0.99", "0.85", "0.9819")
    assert (row.source, row.definition, row.seeds, row.n) == ("arXiv:2405.14806 Table 1", "area", 3, "1,000")
    assert row.band is None


def test_an_interval_is_shown_where_the_error_does_not_say_it() -> None:
    assert rows({"metrics": [metric("a.b", 1.0, low=0.99, high=1.01)]}, {})[0].interval == ""
    assert rows({"metrics": [metric("a.b", 1.0, low=0.99, high=1.05)]}, {})[0].interval == "68 %: 0.99 to 1.05"
    assert rows({"metrics": [metric("a.b", 1.0, low=0.99)]}, {})[0].interval == "68 %: at least 0.99"


def test_a_number_that_is_none_is_a_dash() -> None:
    assert rows({"metrics": [metric("a.b", None)]}, {})[0].value == "–"


def test_claims_keep_all_three_outcomes() -> None:
    claims = [{"text": t, "outcome": o, "sigma": s} for t, o, s in (("x", "holds", 3.0), ("y", "reversed", None))]
    found = claim_rows(claims)
    assert [(one.outcome, one.mark, one.detail) for one in found] == [
        ("holds", "✓", "+3.0 σ"),
        ("reversed", "✗", "no error to judge by"),
    ]


def test_bands_apply_to_any_seed_but_to_no_other_change(make: Any) -> None:
    import json

    from hepml_nb.runtime.golden import golden_path

    name = str(make("1"))
    path = golden_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(GOLDEN))
    values = {"profile": "smoke", "seed": 7, "epochs": 3, "rate": 0.1, "flags": None}
    assert applicable_golden(name, {"profile": "smoke", "parameters": values}) is not None
    assert applicable_golden(name, {"profile": "smoke", "parameters": {**values, "epochs": 4}}) is None
    assert applicable_golden(name, {"profile": "tutorial", "parameters": values}) is None
