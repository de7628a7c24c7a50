"""start, record and claim: no bare numbers, no name twice, claims judged only when they can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hepml_nb import runtime, stats
from hepml_nb.core import InputError, Result
from hepml_nb.runtime import session


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[runtime.Session]:
    monkeypatch.delenv("HEPML_NB_PROFILE", raising=False)
    monkeypatch.setattr(session, "tune_allocator", lambda: False)  # it would last for the whole test process
    yield runtime.start("tutorial", 3)
    session._session = None


def test_start_seeds_and_takes_the_profile_of_the_environment(
    run: runtime.Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = np.random.random()  # noqa: NPY002 - the legacy generator is what is tested
    runtime.start("tutorial", 3)
    assert np.random.random() == first  # noqa: NPY002
    monkeypatch.setenv("HEPML_NB_PROFILE", "smoke")
    assert runtime.start("tutorial", 3).profile == "smoke"
    assert "HEPML_NB_PROFILE" in capsys.readouterr().out
    monkeypatch.setenv("HEPML_NB_PROFILE", "smokey")
    with pytest.raises(InputError, match="did you mean 'smoke'"):
        runtime.start("tutorial", 3)


def test_nothing_is_recorded_before_start() -> None:
    with pytest.raises(InputError, match="call `run = "):
        runtime.record("pfn.auc", Result(0.9, 0.01, 100))


def test_a_bare_number_is_refused_with_the_way_to_make_a_result(run: runtime.Session) -> None:
    with pytest.raises(InputError, match=r"Result\(value, error, n\)"):
        runtime.record("pfn.auc", 0.93)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["auc", "PFN.auc", "pfn auc", "pfn..auc", ".auc", "pfn.", "pfn.AUC"])
def test_a_metric_name_is_lower_case_with_dots(run: runtime.Session, name: str) -> None:
    with pytest.raises(InputError, match="lower case"):
        runtime.record(name, Result(0.9, 0.01, 100))


@pytest.mark.parametrize(
    "name", ["pfn.auc", "cathode.sic.1e-3", "nsbi.coverage68.mu1", "caloflow.ms_per_shower.batch100"]
)
def test_the_names_of_the_design_are_taken(run: runtime.Session, name: str) -> None:
    result = Result(0.9, 0.01, 100)
    assert runtime.record(name, result) is result
    assert run.metrics[name]["value"] == 0.9
    assert "pairing" not in run.metrics[name]
    with pytest.raises(InputError, match="recorded before"):
        runtime.record(name, result)


def test_the_table_shows_error_floor_baseline_and_is_escaped(run: runtime.Session) -> None:
    runtime.record("pfn.auc", Result(0.9432, 0.0011, 1000, floor=0.99, baseline=0.9, definition="<area>"))
    table = run.table()
    assert "0.9432 ± 0.0011" in repr(table)
    assert "0.99" in table._repr_markdown_()
    assert "&lt;area&gt;" in table._repr_html_()
    assert "<area>" not in table._repr_html_()


def test_a_published_reference_has_three_parts(run: runtime.Session) -> None:
    with pytest.raises(InputError, match="table:row:column"):
        runtime.record("pfn.auc", Result(0.9, 0.01, 100), published="0.982")


def _results(trainings: int) -> tuple[Result, Result]:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], 400)
    good = [labels + generator.normal(0, 0.7, 800) for _ in range(trainings)]
    poor = [labels + generator.normal(0, 3.0, 800) for _ in range(trainings)]
    a, b = (stats.paired("auc", labels, scores, n_boot=50, seed=0) for scores in (good, poor))
    return a, b


def test_a_claim_is_judged_and_recorded(run: runtime.Session) -> None:
    outcome = runtime.claim("good beats poor", *_results(3))
    assert outcome is not None
    assert outcome.outcome == "holds"
    assert run.claims["good beats poor"]["outcome"] == "holds"
    assert "good beats poor" in repr(run.table())
    assert "good beats poor" in run.table()._repr_html_()
    with pytest.raises(InputError, match="recorded before"):
        runtime.claim("good beats poor", *_results(3))


def test_one_training_is_no_claim_and_in_smoke_no_error_either(
    run: runtime.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="three trainings"):
        runtime.claim("good beats poor", *_results(1))
    small = runtime.start("smoke", 0)
    assert runtime.claim("good beats poor", *_results(1)) is None
    assert "not judged" in capsys.readouterr().out
    assert not small.claims
