"""Tables in four formats: the same columns come back, in pieces of any size, and nothing is ever unpickled."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import uproot

from hepml_nb.columnar.inspection import survey, values
from hepml_nb.columnar.tables import Field, opened
from hepml_nb.core import InputError, NotFound

N = 53
FLAT = {
    "pt": np.linspace(20, 900, N).astype(np.float32),
    "label": (np.arange(N) % 3).astype(np.int32),
    "part_pt": np.arange(N * 7, dtype=np.float32).reshape(N, 7),
}


def written(path):
    kind = path.suffix
    if kind == ".root":
        with uproot.recreate(path) as file:
            file.mktree("jets", {name: (column.dtype, column.shape[1:]) for name, column in FLAT.items()}).extend(FLAT)
            file.mktree("few", {"x": np.float32}).extend({"x": np.zeros(3, np.float32)})
    elif kind == ".parquet":
        ak.to_parquet(
            ak.Array({**FLAT, "part_pt": ak.from_regular(ak.Array(FLAT["part_pt"]))}), path, row_group_size=10
        )
    elif kind == ".h5":
        with h5py.File(path, "w") as file:
            file["jets"] = np.rec.fromarrays([FLAT["pt"], FLAT["label"]], names="pt,label")
            file["part_pt"] = FLAT["part_pt"].astype(">f4")
    else:
        np.savez_compressed(path, **FLAT)
    return path


@pytest.mark.parametrize("kind", ["root", "parquet", "h5", "npz"])
def test_every_format_gives_its_columns_back_in_pieces_of_any_size(tmp_path, kind):
    names = {"h5": ["jets.pt", "jets.label", "part_pt"]}.get(kind, list(FLAT))
    with opened(written(tmp_path / f"a.{kind}")) as table:
        assert table.rows == N
        assert {name: table.fields[name].dtype for name in names} == dict(
            zip(names, ["float32", "int32", "float32"], strict=True)
        )
        for size in (1, 10, 20, 1000):
            parts = list(table.chunks(names, size))
            assert max(len(part[names[0]]) for part in parts) <= size
            for name, expected in zip(names, FLAT.values(), strict=True):
                np.testing.assert_array_equal(np.concatenate([ak.to_numpy(part[name]) for part in parts]), expected)


@pytest.mark.parametrize("kind", ["root", "parquet", "h5", "npz"])
def test_columns_that_are_not_there_are_named_with_the_nearest(tmp_path, kind):
    with opened(written(tmp_path / f"a.{kind}")) as table, pytest.raises(NotFound, match=r"part_pt"):
        next(table.chunks(["part_ptt"], 10))


def test_nested_lists_records_places_and_numbered_columns(tmp_path):
    jets = ak.Array([[{"pt": 1.0, "c": [{"pt": 1.0}, {"pt": 2.0}]}], [], [{"pt": 3.0, "c": []}]])
    ak.to_parquet(ak.Array({"jets": jets}), tmp_path / "nested.parquet")
    with opened(tmp_path / "nested.parquet") as table:
        assert table.fields == {"jets.pt": Field("float64", (None,)), "jets.c.pt": Field("float64", (None, None))}
        part = next(table.chunks(["jets.c.pt", "jets.pt"], 10))
        assert ak.to_list(part["jets.c.pt"]) == [[[1.0, 2.0]], [], [[]]]
    numbered = {f"PX_{i}": np.arange(5) * 10 + i for i in range(12)}
    np.savez(tmp_path / "numbered.npz", X=np.arange(60.0).reshape(5, 3, 4), F=np.asfortranarray(np.eye(5)), **numbered)
    with opened(tmp_path / "numbered.npz") as table:
        assert set(table.fields) == {"X", "F", "PX_*"}
        parts = list(table.chunks(["X[2]", "PX_*", "F"], 2))
        assert ak.to_list(parts[1]["X[2]"])[0] == [26.0, 30.0, 34.0]
        assert ak.to_list(parts[1]["PX_*"])[0] == list(range(20, 32))  # by number: 2 before 10
        assert ak.to_list(parts[2]["F"]) == [[0, 0, 0, 0, 1]]
        with pytest.raises(NotFound, match=r"no place \[4\]"):
            next(table.chunks(["X[4]"], 2))


def test_objects_are_refused_and_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    np.savez(tmp_path / "bomb.npz", jets=np.array([Bomb()] * 4, dtype=object), y=np.zeros(4))
    seen = survey([tmp_path / "bomb.npz"])
    assert seen.fields["jets"].dtype == "object"
    with opened(tmp_path / "bomb.npz") as table, pytest.raises(InputError, match=r"'jets' holds Python objects"):
        next(table.chunks(["jets"], 2))
    np.savez(tmp_path / "only.npz", jets=np.array([Bomb()] * 4, dtype=object))
    with pytest.raises(InputError, match=r"no column of numbers: jets hold"):
        survey([tmp_path / "only.npz"])
    with h5py.File(tmp_path / "vlen.h5", "w") as file:
        file.create_dataset("jets", (4,), dtype=h5py.vlen_dtype(np.float32))
    with pytest.raises(InputError, match="no column of numbers"):
        survey([tmp_path / "vlen.h5"])


def test_trees_and_groups_are_named(tmp_path):
    path = written(tmp_path / "a.root")
    assert survey([path]).tree == "jets"  # the largest
    with uproot.recreate(tmp_path / "cms.root") as file:
        file.mktree("Events", {"x": np.float32}).extend({"x": np.zeros(2, np.float32)})
        file.mktree("ParameterSets", {"x": np.float32}).extend({"x": np.zeros(30, np.float32)})
    assert survey([tmp_path / "cms.root"]).tree == "Events"  # though it is the smaller
    assert set(survey([path], "few").fields) == {"x"}
    with pytest.raises(NotFound, match=r"no tree 'jet'; did you mean 'jets'\? Known: few, jets"):
        survey([path], "jet")
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["train/pt"] = np.ones(3)
    with pytest.raises(NotFound, match=r"no group 'test'.*train"):
        survey([tmp_path / "g.h5"], "test")


def test_what_cannot_be_read_says_why(tmp_path):
    for name, content, told in (("a.root", b"junk", "ROOT"), ("a.parquet", b"junk", "Parquet"),
                                ("a.h5", b"junk", "HDF5"), ("a.npz", b"junk", "npz"),
                                ("a.csv", b"1,2", "format")):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=told):
            survey([tmp_path / name])
    pd.DataFrame({"E_0": [1.0]}).to_hdf(tmp_path / "pandas.h5", key="table", format="table")
    with pytest.raises(InputError, match="pandas table"):
        survey([tmp_path / "pandas.h5"])
    np.savez(tmp_path / "none.npz", pt=np.zeros(0))
    with pytest.raises(InputError, match="no rows"):
        survey([tmp_path / "none.npz"])
    with pytest.raises(InputError, match="not of one format"):
        survey([written(tmp_path / "b.root"), written(tmp_path / "b.npz")])
    with pytest.raises(NotFound, match=r"nothing\.root"):
        survey([tmp_path / "nothing.root"])


def test_a_file_cut_in_the_middle_is_damaged(tmp_path):
    np.savez(tmp_path / "a.npz", pt=np.arange(100_000.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[400_000:400_100] = bytes(100)  # another number: the checksum of the archive does not hold
    (tmp_path / "a.npz").write_bytes(content)
    with opened(tmp_path / "a.npz") as table, pytest.raises(InputError, match="damaged after row"):
        for _ in table.chunks(["pt"], 1000):
            pass


def test_labels_are_read_to_the_end_and_missing_values_are_named(tmp_path):
    sorted_by_class = np.repeat([0, 1, 2], 3000)
    np.savez(tmp_path / "a.npz", y=sorted_by_class, x=np.linspace(0, 1, 9000))
    seen = survey([tmp_path / "a.npz"])
    assert values(seen, "y") == [0, 1, 2]  # the head has only zeros
    with pytest.raises(InputError, match="is no label"):
        values(seen, "x")
    assert "y  int64" in str(seen)
    assert "9,000 rows" in str(seen)
    ak.to_parquet(ak.Array({"pt": [1.0, None, 3.0]}), tmp_path / "null.parquet")
    with pytest.raises(InputError, match="'pt' has missing values"):
        survey([tmp_path / "null.parquet"])
