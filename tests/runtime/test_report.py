"""Whole reports: pages that open from a file, an index, and folders that are replaced only when that is right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.runtime.golden import golden_path
from hepml_nb.runtime.notebooks import nbformat as quick_nbformat
from hepml_nb.runtime.report import build_report, report_one, report_scores
from hepml_nb.runtime.report_page import make_page

HOSTILE = "</code><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
RECORDS = """from hepml_nb.core import Result
from hepml_nb.runtime import record, start

run = start(profile, seed)
record("toy.auc", Result(0.9 + 0.001 * epochs, 0.01, 100, floor=0.99, baseline=0.5))
record("toy.seconds.fit", Result(1.0, 0.1, 1));"""
PARAMETERS = """from typing import Literal

profile: Literal["smoke", "tutorial", "full"] = "tutorial"
seed: int = 0
epochs: int = 3
title: str = ""
"""


def outside_requests(html: str) -> list[str]:
    """Return what a browser would fetch: sources, styles and scripts that are not in the page itself."""
    found = re.findall(
        r'(?:src|data|srcset|poster)\s*=\s*["\']?(?!data:)[^\s"\'>]+', re.sub(r"&[a-z]+;|&#\d+;", " ", html)
    )
    return found + re.findall(r"<(?:script|link|iframe)\b[^>]*>|@import[^;]*|url\((?!#)[^)]*\)", html)


def bands(path: Path, low: float, high: float) -> None:
    target = golden_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    entry = {"value": (low + high) / 2, "low": low, "high": high, "kind": "informative"}
    target.write_text(json.dumps({"schema": 1, "notebook": "toys/01_toy", "metrics": {"toy.auc": entry}}))


def test_a_report_is_a_folder_of_pages_that_ask_for_nothing(make: Callable[..., Path], tmp_path: Path) -> None:
    bands(make(RECORDS, parameters=PARAMETERS), 0.8, 1.0)
    make("1 / 0", parameters=PARAMETERS, name="toys/02_fails", title="Failing <b>")
    make("print('no numbers')", parameters=PARAMETERS, name="toys/03_plain")
    told: list[str] = []
    report = build_report(out=tmp_path / "report", jobs=2, say=told.append)
    assert [one.notebook for one in report.pages] == ["toys/01_toy", "toys/02_fails", "toys/03_plain"]
    assert [one.notebook for one in report.failed] == ["toys/02_fails"]
    assert report.outside == ()
    assert len(told) == 3
    index = report.index.read_text(encoding="utf-8")
    assert outside_requests(index) == []
    assert "run failed" in index
    assert "1 of 1 in band" in index
    for one in report.pages:
        page = (report.index.parent / one.href).read_text(encoding="utf-8")
        assert outside_requests(page) == []
        assert f'href="{one.href}"' in index
        assert 'href="../index.html"' in page
        assert len(page.encode()) < 5_000_000
        assert page.count("<h1") == 1
        assert '<html lang="en">' in page
        assert 'href="#main"' in page
    summary = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [bool(one["failure"]) for one in summary["notebooks"]] == [False, True, False]
    sidecar = json.loads((tmp_path / "report" / "toys" / "01_toy.smoke.metrics.json").read_text())
    assert sidecar["metrics"][0]["name"] == "toy.auc"
    failed = (report.index.parent / "toys/02_fails.html").read_text(encoding="utf-8")
    assert "This run failed" in failed
    assert "ZeroDivisionError" in failed
    assert "Failing <b>" not in failed


def test_one_notebook_with_hostile_parameters(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make(RECORDS, "print(title)", parameters=PARAMETERS)
    bands(path, 0.95, 1.0)
    report = report_one(path, {"title": HOSTILE, "epochs": 2}, seed=5, out=tmp_path / "mine")
    html = report.index.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert "onerror=alert(2)&gt;" in html
    assert "Your parameters" in html
    assert "no band" not in html  # the bands belong to the committed parameters; none is claimed here
    assert report.outside == ()
    assert "hepml-nb report toys/01_toy --profile smoke -p seed=5 -p epochs=2" in html.replace("&#39;", "'")


def test_a_number_outside_its_band_is_said_in_words(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make(RECORDS, parameters=PARAMETERS)
    bands(path, 0.95, 1.0)
    report = report_one(path, out=tmp_path / "mine")
    assert report.outside == ("toys/01_toy: toy.auc",)
    html = report.index.read_text(encoding="utf-8")
    assert "outside" in html
    assert "0.95 to 1" in html
    assert "✗" in html


def test_of_many_numbers_the_first_of_each_method_and_those_outside_are_shown_at_once(
    make: Callable[..., Path],
) -> None:
    names = [f"{method}.{merit}" for method in ("cut", "pfn") for merit in ("auc", "ece", "eff", "rej", "time")]
    blank = {"error": 0.01, "n": 10, "seeds": 1, "better": "higher"}
    sidecar = {"metrics": [{"name": name, "value": 0.5, **blank} for name in names]}
    golden = {"metrics": {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in names}}
    golden["metrics"]["pfn.time"] = {"value": 0.9, "low": 0.8, "high": 1.0}
    page = make_page(make("1"), sidecar, golden=golden)
    shown = [row.name.rstrip(" ↑") for row in page.headlines]
    assert len(shown) == 6
    assert {"cut.auc", "pfn.auc", "pfn.time"} <= set(shown)
    assert len(page.others) == 4
    assert "4 more numbers" in page.html()


def test_parameters_that_do_not_fit_are_refused_before_anything_is_written(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    path = make("1", parameters=PARAMETERS)
    with pytest.raises(NotFound, match="did you mean 'epochs'"):
        report_one(path, {"epoch": 2}, out=tmp_path / "mine")
    with pytest.raises(InputError, match="epochs"):
        report_one(path, {"epochs": "many"}, out=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_folder_with_other_files_is_never_replaced(make: Callable[..., Path], tmp_path: Path) -> None:
    make("1", parameters=PARAMETERS)
    precious = tmp_path / "thesis" / "chapter.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        build_report(out=precious.parent)
    with pytest.raises(InputError, match="is a file"):
        build_report(out=precious)
    assert precious.read_text() == "years of work"


def test_an_earlier_report_is_replaced_as_a_whole(make: Callable[..., Path], tmp_path: Path) -> None:
    make("1", parameters=PARAMETERS)
    old = tmp_path / "report" / "old.html"
    old.parent.mkdir()
    old.write_text("old")
    (old.parent / "report.json").write_text("{}")
    report = build_report(out=old.parent)
    assert not old.exists()
    assert report.index.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".report")] == []


def test_an_empty_bench_and_an_unknown_notebook_are_said(workbench: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no notebook to report on"):
        build_report(out=tmp_path / "report")
    with pytest.raises(NotFound, match="tagging/99"):
        build_report(["tagging/99"], out=tmp_path / "report")


def test_scores_must_be_a_parquet_file(workbench: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        report_scores(tmp_path / "gone.parquet")
    (tmp_path / "scores.csv").write_text("label,score\n1,0.5\n")
    with pytest.raises(InputError, match="to_parquet"):
        report_scores(tmp_path / "scores.csv")


def test_scores_go_to_the_notebook_as_an_absolute_path(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    import pandas as pd

    pd.DataFrame({"label": [0, 1], "mine": [0.1, 0.9]}).to_parquet(tmp_path / "scores.parquet")
    parameters = PARAMETERS + 'scores_file: str = ""\nlabel: str = "label"\n'
    make(
        "import pandas as pd", "len(pd.read_parquet(scores_file))", parameters=parameters, name="reports/01_your_scores"
    )
    monkeypatch.chdir(tmp_path)
    report = report_scores("scores.parquet", {"label": "label"}, out=tmp_path / "mine")
    assert not report.failed
    assert "<pre>2</pre>" in report.index.read_text(encoding="utf-8")


def test_links_between_notebooks_lead_to_pages_that_exist(make: Callable[..., Path], tmp_path: Path) -> None:
    nbformat = quick_nbformat()
    path = make("1", parameters=PARAMETERS)
    make("1", parameters=PARAMETERS, name="other/01_more")
    node = nbformat.read(path, 4)
    node.cells[0].source += "\n\n[more](../other/01_more.ipynb) [gone](../other/09.ipynb) [front](../index.ipynb)"
    path.write_text(nbformat.writes(node))
    report = build_report(out=tmp_path / "report")
    html = (report.index.parent / "toys/01_toy.html").read_text(encoding="utf-8")
    assert '<a href="../other/01_more.html">more</a>' in html
    assert '<a href="../index.html">front</a>' in html
    assert "<span>gone</span>" in html


def test_a_page_is_made_of_a_bare_notebook_and_an_empty_sidecar(make: Callable[..., Path]) -> None:
    page = make_page(make("1"), {})
    html = page.html()
    assert page.title == "Toy"
    assert "unknown" in html
    assert outside_requests(html) == []
