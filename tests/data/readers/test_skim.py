"""Skims: what was written comes back in the types of the schema, and damage is named."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError
from hepml_nb.data.readers import skim


@pytest.fixture(scope="module")
def jets():
    return data.load("top-tagging").split("val")[:120]


def test_records_come_back_as_they_were(tmp_path, jets):
    path = tmp_path / "a.parquet"
    ak.to_parquet(jets, path, row_group_size=50)
    assert skim.count(path) == 120
    found = skim.read(path, 30, 110)
    assert ak.to_list(found.constituents.pt) == ak.to_list(jets.constituents.pt[30:110])
    for name in ("mass", "tau3", "label", "event"):
        np.testing.assert_array_equal(found[name], jets[name][30:110])
        assert found[name].type.content.primitive == data.schema("jets").columns[name].dtype


def test_types_are_those_of_the_schema_and_other_columns_stay(tmp_path, jets):
    wide = {name: ak.values_astype(jets[name], np.float64) for name in ("pt", "eta", "phi", "mass")}
    inside = ak.zip({name: ak.values_astype(jets.constituents[name], np.float64) for name in jets.constituents.fields})
    ak.to_parquet(
        ak.zip({**wide, "constituents": inside, "mine": np.arange(120)}, depth_limit=1), tmp_path / "a.parquet"
    )
    found = skim.read(tmp_path / "a.parquet", 0, 120, label=3)
    assert str(found.mass.type.content) == "float32"
    assert str(found.constituents.pdg.type.content.content) == "int16"
    assert set(ak.to_list(found.label)) == {3}  # the class of the file, as it has none itself
    assert ak.to_list(found.mine) == list(range(120))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda jets: ak.Array({"x": [1.0]}), "none of the columns"),
        (lambda jets: ak.with_field(jets, ak.mask(jets.pt, jets.pt > 600), "pt"), "missing values"),
        (lambda jets: ak.with_field(jets, jets.constituents.pt, "pt"), "'pt' has another shape"),
        (lambda jets: ak.with_field(jets, jets.pt, "constituents"), "no list of records"),
        (lambda jets: ak.with_field(jets, ak.with_field(jets.constituents, jets.constituents.pt * np.nan, "pt"),
                                    "constituents"), "constituents have a pt that is NaN"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, jets, change, told):
    ak.to_parquet(change(jets), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=told):
        skim.read(tmp_path / "a.parquet", 0, 120)


def test_a_cut_file_and_rows_that_are_not_there(tmp_path, jets):
    ak.to_parquet(jets, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="120 records; nothing lies between 200"):
        skim.read(tmp_path / "a.parquet", 200, 300)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    with pytest.raises(InputError, match="cut short"):
        skim.count(tmp_path / "b.parquet")
