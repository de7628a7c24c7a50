"""A wrong parameter is an error before anything runs, with the nearest right one and the table of what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepml_nb import runtime
from hepml_nb.core import InputError, NotFound

CELL = """from typing import Literal, Optional
from pathlib import Path
profile: Literal["smoke", "tutorial", "full"] = "tutorial"
seed: int = 0
epochs: int = 3  # passes over the training set
rate: float = 0.1
name: "str" = "pfn"
train: bool = True
bins: list[float] = [0.0, 1.0]
cuts: dict[str, float] = {}
low: None | float = None
high: Optional[int] = None
either: int | str = 1
scores: Path = ""
plain = 2"""


def test_parameters_are_read_without_executing_the_cell(build: Any) -> None:
    known = runtime.read_parameters(build(parameters=CELL))
    assert list(known)[:3] == ["profile", "seed", "epochs"]
    assert known["epochs"].type == "int"
    assert known["epochs"].help == "passes over the training set"
    assert known["low"].type == "None | float"
    assert known["plain"].type == "int"
    assert "epochs" in runtime.parameter_table(build(parameters=CELL))


def test_an_unknown_name_gets_the_nearest_and_the_table(build: Any) -> None:
    with pytest.raises(
        NotFound, match=r"(?s)no parameter 'epoch'; did you mean 'epochs'.*passes over the training set"
    ):
        runtime.validate(build(parameters=CELL), {"epoch": 5})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", "seven", r"got 'seven' \(str\); expected int"),
        ("epochs", 3.0, "expected int"),
        ("epochs", True, "expected int"),
        ("rate", False, "expected float"),
        ("rate", "0.1", "expected float"),
        ("train", 1, "expected bool"),
        ("profile", "smok", "expected Literal"),
        ("bins", (0.1, 0.2), "use a list"),
        ("bins", np.array([0.1]), "use a list"),
        ("bins", ["a"], "expected float"),
        ("cuts", {1: 2.0}, "expected dict"),
        ("name", None, "expected str"),
        ("low", "x", r"expected None \| float"),
    ],
)
def test_a_wrong_type_is_refused(build: Any, name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        runtime.validate(build(parameters=CELL), {name: value})


def test_what_was_meant_is_converted(build: Any, tmp_path: Path) -> None:
    given = {"epochs": np.int64(4), "rate": 1, "train": np.bool_(False), "name": tmp_path, "low": np.float32(0.5)}
    values = runtime.validate(build(parameters=CELL), given)
    assert values["epochs"] == 4
    assert type(values["epochs"]) is int
    assert values["rate"] == 1.0
    assert type(values["rate"]) is float
    assert values["train"] is False
    assert values["name"] == str(tmp_path)
    assert values["low"] == 0.5
    assert values["either"] == 1


def test_a_path_is_made_absolute_for_the_kernel_works_elsewhere(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert runtime.validate(build(parameters=CELL), {"scores": "my.parquet"})["scores"] == str(tmp_path / "my.parquet")
    assert runtime.validate(build(parameters=CELL), {})["scores"] == ""


def test_text_from_the_command_line_takes_the_parameters_type(build: Any) -> None:
    node = build(parameters=CELL)
    pairs = [
        "epochs=5",
        "rate=1e-3",
        "train=false",
        "bins=0.1,0.2",
        "low=None",
        "name=7",
        "profile=smoke",
        "cuts={'a': 1}",
    ]
    values = runtime.validate(node, runtime.from_text(node, pairs))
    assert (values["epochs"], values["rate"], values["train"], values["bins"]) == (5, 1e-3, False, [0.1, 0.2])
    assert (values["low"], values["name"], values["profile"], values["cuts"]) == (None, "7", "smoke", {"a": 1.0})
    with pytest.raises(InputError, match=r"got 'seven' \(str\); expected int"):
        runtime.validate(node, runtime.from_text(node, {"epochs": "seven"}))
    with pytest.raises(InputError, match="name=value"):
        runtime.from_text(node, ["epochs"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "no cell tagged 'parameters'"),
        ("epochs = len('abc')", "literals only"),
        ("import numpy as np", "may hold only"),
        ("a, b = 1, 2", "may hold only"),
        ("x = None", "annotate it"),
        ("mode: Literal['a'] = 'b'", r"got 'b' \(str\); expected Literal"),
        ("x: complex = 1", "complex is not a parameter type"),
        ("x: set[int] = []", r"set\[int\] is not a parameter type"),
        ("%matplotlib inline", "not plain Python"),
        ("x = 1\nx = 2", "twice"),
    ],
)
def test_a_bad_parameters_cell_is_one_clear_message(build: Any, cell: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        runtime.read_parameters(build(parameters=cell))
