"""The scoreboard shows committed numbers, published ones beside them, and what has gone stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepml_nb.runtime.notebooks import info
from hepml_nb.runtime.parameters import validate
from hepml_nb.runtime.report_index import index_page, thumbnail
from hepml_nb.runtime.results import result_path, results_key
from hepml_nb.runtime.scoreboard import boards, merit_title


def commit(path: Path, *metrics: dict[str, Any], key: str | None = None) -> Path:
    values = validate(path, {"profile": "tutorial"})
    sidecar = {
        "schema": 1,
        "notebook": info(path).id,
        "profile": "tutorial",
        "seed": 0,
        "parameters": values,
        "key": key or results_key(path, values, "tutorial").hex,
        "key_parts": results_key(path, values, "tutorial").parts,
        "metrics": list(metrics),
        "claims": [{"text": "a beats b", "outcome": "consistent", "sigma": 1.0, "difference": 0.1, "error": 0.1}],
    }
    target = result_path(path, "tutorial")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(sidecar))
    return target


def metric(name: str, value: float, **more: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("floor", "baseline", "low", "high", "published"))
    return {"name": name, "value": value, "error": 0.001, "n": 10, "seeds": 3, "better": "higher", **blank, **more}


def test_headings_are_those_of_the_field() -> None:
    assert merit_title("auc", "higher") == "AUC ↑"
    assert merit_title("rejection.eff30") == "1/εB at εS = 0.3"
    assert merit_title("rejection.eff05") == "1/εB at εS = 0.05"
    assert merit_title("triangular.mass", "lower") == "triangular (mass) ↓"


def test_methods_are_rows_and_merits_are_columns(make: Callable[..., Path]) -> None:
    published = {"ref": "t:PFN:auc", "value": 0.982, "error": None, "source": "arXiv:2405.14806"}
    commit(make("1"), metric("cut.auc", 0.9), metric("pfn.auc", 0.95, published=published), metric("pfn.ece", 0.02))
    (board,) = boards()
    assert board.merits == ["AUC ↑", "calibration error ↑"]
    assert board.axes == ("method",)
    assert [labels for labels, _ in board.rows] == [("cut",), ("pfn",)]
    cut, pfn = (cells for _, cells in board.rows)
    assert cut[1] is None
    assert pfn[0] is not None
    assert (pfn[0].value, pfn[0].published, pfn[0].source) == ("0.9500 ± 0.0010", "0.982", "arXiv:2405.14806")
    assert board.claims[0].outcome == "consistent"
    assert not board.stale


def test_methods_with_little_in_common_become_a_list(make: Callable[..., Path]) -> None:
    commit(
        make("1"), metric("w.mass", 80.4), metric("top.mass", 173.0), metric("tau21.auc", 0.8), metric("qcd.n", 40.0)
    )
    (board,) = boards()
    assert board.axes == ("method", "figure of merit")
    assert board.merits == ["value ± error"]
    assert [labels for labels, _ in board.rows][2] == ("tau21", "AUC ↑")


def test_a_stale_result_is_marked_with_its_reason(make: Callable[..., Path]) -> None:
    commit(make("1"), metric("cut.auc", 0.9))
    make("2")  # the notebook has changed since
    (board,) = boards()
    assert board.stale
    assert "cells have changed" in board.reasons
    html = index_page([], [board], profile="smoke", revision="abc", made="today", seconds=1.0)
    assert "stale" in html
    assert "cells have changed" in html
    assert "0.9000 ± 0.0010" in html


def test_nothing_committed_is_no_scoreboard(make: Callable[..., Path]) -> None:
    make("1")
    assert boards() == []
    assert "Scoreboard" not in index_page([], [], profile="smoke", revision="abc", made="today", seconds=1.0)


def test_sweeps_join_the_trainings_of_a_point(workbench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = workbench / "notebooks" / "sweeps" / "toys" / "size.yaml"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        "title: Size curve\nentry: hepml_nb.stats:auc\ndataset: none\nprofile: long\nminutes: 1\n"
        "grid: {method: [pfn], train_jets: [10000, 30000], seed: [0, 1]}\n"
    )
    target = workbench / "notebooks" / "results" / "toys" / "size.long.jsonl"
    target.parent.mkdir(parents=True)
    aucs = [{"value": 0.94 + 0.02 * seed, "error": 0.003, "n": 9, "better": "higher"} for seed in (0, 1)]
    rows = [
        {"point": {"method": "pfn", "train_jets": 10000, "seed": seed}, "key": "old", "seconds": 1.0,
         "row": {"metrics": {"auc": auc}, "epochs": 3}}
        for seed, auc in enumerate(aucs)
    ]  # fmt: skip
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (board,) = boards()
    assert board.title == "Size curve"
    ((labels, (score,)),) = board.rows
    assert board.axes == ("method", "train jets")
    assert labels == ("pfn", "10,000")
    assert str(labels) == "pfn, 10,000"
    assert score is not None
    assert score.value == "0.950 ± 0.010"
    assert board.note == "mean of 2 trainings"
    assert board.stale
    assert "2 of 4 points still to run" in board.reasons


def test_a_thumbnail_is_small_and_what_is_no_picture_is_left_out() -> None:
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((1200, 900), 60).save(buffer, "PNG")
    src = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    small = thumbnail(src)
    with Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))) as picture:
        assert picture.width <= 640
    assert thumbnail("data:image/png;base64,AAAA") == ""
    assert thumbnail("data:image/svg+xml;base64,AAAA").startswith("data:image/svg")
