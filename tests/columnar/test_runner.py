"""One processor, every executor: the same content, faults told in one sentence, only what is needed read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import cloudpickle
import numpy as np
import pytest
import uproot

from hepml_nb import columnar
from hepml_nb.columnar import Dimuon, run
from hepml_nb.columnar.merging import Pieces
from hepml_nb.core import InputError, NotFound, RunError

from .conftest import ids, write_tree, z_events, z_file


class Arrays(Dimuon):
    """The dimuon processor with an array of what it saw, and the chunks in the order that they were made."""

    def process(self, events):
        seen = ak.zip({"event": events.event, "pt": ak.max(events.Muon.pt, axis=1)})
        return {**super().process(events), "seen": seen, "starts": [events.metadata["entrystart"]]}


@dataclass(frozen=True)
class KillsItsWorker(Arrays):
    """Ends the process that it runs in, once: the file says that it has."""

    marker: str = ""

    def process(self, events):
        if events.metadata["entrystart"] > 0 and not os.path.exists(self.marker):
            Path(self.marker).touch()
            os._exit(1)
        return super().process(events)


@pytest.fixture(scope="module")
def alone(files):
    return run(files, Arrays(), chunksize=130)


def same(a, b):
    """Compare bit by bit: no tolerance."""
    assert a["mass"].axes == b["mass"].axes
    np.testing.assert_array_equal(a["mass"].view(flow=True), b["mass"].view(flow=True))
    assert a["cutflow"] == b["cutflow"]
    assert list(a["cutflow"]) == list(b["cutflow"])
    assert a["starts"] == b["starts"]
    assert ak.to_list(a["seen"]) == ak.to_list(b["seen"])


def test_arrays_come_in_the_order_of_dataset_file_and_entry(alone, files):
    expected = [np.arange(n) + first for n, first in ((350, 10_000), (400, 20_000), (400, 30_000))]
    np.testing.assert_array_equal(ak.to_numpy(alone["seen"].event), np.concatenate(expected))
    assert alone["starts"] == [0, 117, 234, 0, 134, 268, 0, 134, 268]
    assert list(alone["mass"].axes["dataset"]) == ["a_zmumu", "b_data"]
    assert list(alone["mass"].axes["variation"]) == sorted(alone["mass"].axes["variation"])
    assert not alone.bad
    assert {name: alone.metrics[name] for name in ("files", "events", "chunks")} == {
        "files": 3,
        "events": 1150,
        "chunks": 9,
    }


def test_processes_of_this_machine_give_the_same_content(alone, files):
    same(alone, run(files, Arrays(), executor="futures", workers=2, chunksize=130))


def test_a_dask_cluster_gives_the_same_content_also_when_a_worker_dies(alone, files, dask_client, tmp_path):
    same(alone, run(files, Arrays(), executor="dask", client=dask_client, chunksize=130))
    marker = tmp_path / "killed"
    died = run(files, KillsItsWorker(marker=str(marker)), executor="dask", client=dask_client, chunksize=130)
    assert marker.exists()
    same(alone, died)
    module = sys.modules[__name__]
    assert module.__name__ not in cloudpickle.list_registry_pickle_by_value()


def test_merging_does_not_depend_on_the_order_in_which_pieces_come():
    values = np.random.default_rng(0).lognormal(0, 5, 13)
    exact = None
    for seed in range(20):
        pieces = [Pieces.of(i, {"sum": float(x), "order": [i]}) for i, x in enumerate(values)]
        rng = np.random.default_rng(seed)
        while len(pieces) > 1:
            a, b = (pieces.pop(rng.integers(len(pieces))) for _ in range(2))
            pieces.append(a + b)
        total = pieces[0].total()
        assert total["order"] == list(range(13))
        exact = exact or total["sum"]
        assert total["sum"] == exact  # not approximately
    assert Pieces().total() is None


def test_memory_of_merging_grows_with_the_logarithm_of_the_chunks():
    held = Pieces()
    for number in range(1000):
        held = held + Pieces.of(number, {"n": 1})
        assert len(held.parts) <= 11
    assert held.total() == {"n": 1000}


def test_only_the_columns_that_are_needed_are_read(folder):
    wide = {f"wide{i}": np.random.default_rng(i).normal(size=2000) for i in range(20)}
    path = z_file(folder / "wide.root", 2000, 7, **wide)
    read = run(path, Dimuon()).metrics
    assert set(read["columns"]) == {"nMuon", "genWeight", "LHEScaleWeight",
                                    *(f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "charge"))}  # fmt: skip
    with uproot.open(path) as file:
        tree = file["Events"]
        needed = sum(tree[name].compressed_bytes for name in [*read["columns"], "nLHEScaleWeight"])
        assert read["bytes"] < needed + 30_000 < path.stat().st_size / 2  # 30 kB for the tree's own description

    def by_hand(events):
        return {"n": int(ak.sum(events.Muon.pt > 20))}

    assert set(run(path, by_hand).metrics["columns"]) == {"nMuon", "Muon_pt"}


def test_memory_hangs_on_the_chunk_and_not_on_the_file(folder):
    n, chunk, columns = 36_000, 6_000, [f"x{i}" for i in range(20)]
    wide = {name: np.zeros(n) for name in columns}
    path = write_tree(folder / "long.root", {"Muon": z_events(10, 1)[np.arange(n) % 10]}, {**ids(n), **wide})

    def held(events):
        for name in columns:
            np.sum(events[name])
        return {"bytes": [tracemalloc.get_traced_memory()[0]]}

    tracemalloc.start()
    try:
        traced = run(path, held, chunksize=chunk)["bytes"]
    finally:
        tracemalloc.stop()
    assert len(traced) == 6
    one = 8 * chunk * len(columns)
    # Were the columns of earlier chunks kept, five more would be here; what a file says of itself goes a bit later.
    assert traced[-1] - traced[0] < 2 * one


def test_a_file_is_opened_once_for_all_its_chunks_and_closed_after_the_run(files, monkeypatch):
    opened, usual = [], uproot.open

    def counted(given, **options):
        opened.append(usual(given, **options))
        return opened[-1]

    monkeypatch.setattr(uproot, "open", counted)
    for path in files["a_zmumu"]:
        os.utime(path)  # what was seen of it before does not count
    assert run(files["a_zmumu"], Dimuon(), chunksize=50).metrics["chunks"] == 15
    assert len(opened) == 2
    assert all(file.closed for file in opened)
    many = [shutil.copy(files["a_zmumu"][0], f"{files['a_zmumu'][0]}.{i}.root") for i in range(6)]
    held = run(many, lambda events: {"open": [sum(not file.closed for file in opened)]})["open"]
    assert max(held) == 4  # not as many as there are files


def test_files_are_a_path_a_list_a_glob_or_a_mapping(files, folder):
    def count(events):
        return {"n": {events.metadata["dataset"]: len(events)}, "kind": [events.metadata.get("kind", "")]}

    z1, z2 = files["a_zmumu"]
    assert run(z1, count)["n"] == {"events": 350}
    assert run(folder / "z[12].root", count)["n"] == {"events": 750}
    assert run([z1, z2], count)["n"] == {"events": 750}
    assert run({"all": str(folder / "z[12].root"), "one": [z1]}, count)["n"] == {"all": 750, "one": 350}
    fileset = {"x": {"files": {z1: "Events"}, "metadata": {"kind": "simulation"}}}
    assert run(fileset, count)["kind"] == ["simulation"]


def test_files_that_are_not_there_or_twice_or_nothing(files, folder):
    z1 = files["a_zmumu"][0]
    with pytest.raises(NotFound, match=r"there is no file .*z1\.rot; did you mean 'z1\.root'"):
        run(folder / "z1.rot", Dimuon())
    with pytest.raises(InputError, match="is 2 times in dataset 'events'"):
        run([z1, z1], Dimuon())
    with pytest.raises(InputError, match="holds no file"):
        run([], Dimuon())
    with pytest.raises(InputError, match="reserved name 'filename'"):
        run({"x": {"files": [z1], "metadata": {"filename": "y"}}}, Dimuon())


def test_arguments_that_are_unknown(files):
    with pytest.raises(InputError, match="did you mean 'futures'"):
        run(files, Dimuon(), executor="future")
    with pytest.raises(InputError, match="did you mean 'pfnano'"):
        run(files, Dimuon(), schema="PFNano")
    with pytest.raises(InputError, match="executor='dask'"):
        run(files, Dimuon(), client=object())
    with pytest.raises(InputError, match="chunksize=0"):
        run(files, Dimuon(), chunksize=0)


@pytest.fixture(scope="module")
def broken(folder, files):
    """Files with one fault each, by fault."""
    made = {name: folder / f"bad_{name}.root" for name in ("truncated", "empty", "text", "baskets", "tree", "branch")}
    content = Path(files["a_zmumu"][1]).read_bytes()
    made["truncated"].write_bytes(content[: len(content) // 3])
    made["empty"].write_bytes(b"")
    made["text"].write_text("not a file of events\n" * 100)
    made["baskets"].write_bytes(content)
    with uproot.open(made["baskets"]) as file:
        branch = file["Events"]["Muon_eta"]
        start = int(branch.member("fBasketSeek")[0])
    damaged = bytearray(content)
    damaged[start + 90 : start + 400] = bytes(310)
    made["baskets"].write_bytes(bytes(damaged))
    write_tree(made["tree"], {"Muon": z_events(20, 1)}, ids(20), tree="Event")
    muons = z_events(20, 1)
    write_tree(made["branch"], {"Muon": muons[["pt", "eta", "mass", "charge"]]}, {**ids(20), "Muons_phi": np.ones(20)})
    return made


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("truncated", r"bad_truncated\.root: entries 0-400 are lost: OSError"),
        ("empty", r"bad_empty\.root is no readable ROOT file"),
        ("text", r"bad_text\.root is no readable ROOT file"),
        ("baskets", r"bad_baskets\.root: entries 0-400 are lost"),
        ("tree", r"bad_tree\.root has no tree 'Events'; did you mean 'Event'"),
        ("branch", r"bad_branch\.root: tree 'Events' has no branch 'Muon_phi'; did you mean 'Muons_phi'"),
    ],
)
def test_a_fault_is_told_with_file_and_reason_and_the_good_files_count_if_asked(fault, told, broken, files):
    good = files["a_zmumu"][0]
    with pytest.raises(RunError, match=told) as raised:
        run([good, broken[fault]], Dimuon())
    assert "\n" not in str(raised.value)
    assert "skip_bad=True" in str(raised.value)
    out = run([good, broken[fault]], Dimuon(), skip_bad=True)
    assert list(out.bad) == [str(broken[fault])]
    assert out["cutflow"]["events"] == run(good, Dimuon())["cutflow"]["events"]
    with pytest.raises(RunError, match=told):
        run(broken[fault], Dimuon(), skip_bad=True)  # nothing good is left


def test_faults_are_told_the_same_way_from_other_processes(broken, files, dask_client):
    with pytest.raises(RunError, match=r"entries 0-400 are lost"):
        run([files["a_zmumu"][0], broken["baskets"]], Dimuon(), executor="dask", client=dask_client)


def test_a_file_without_events_is_fine(folder, files):
    path = write_tree(folder / "none.root", {"Muon": z_events(0, 1)}, ids(0))
    out = run({"none": path, "some": files["a_zmumu"]}, Dimuon())
    assert out["cutflow"]["none"]["all"]["events"] == 0
    assert out["mass"]["none", "nominal", :].sum().value == 0
    assert out["cutflow"]["some"]["all"]["events"] == 750


def test_layouts_do_not_mix(folder, files):
    flat = write_tree(folder / "flat.root", {"Muon": z_events(5, 1)}, {"met": np.ones(5)})
    with pytest.raises(RunError, match=r"flat\.root: tree 'Events' has no branch 'run'.*schema='flat'"):
        run([files["a_zmumu"][0], flat], Dimuon())
    with pytest.raises(InputError, match=r"'mixed' mixes simulation \(.*z1\.root .*\) and collisions \(.*data\.root"):
        run({"mixed": [files["a_zmumu"][0], *files["b_data"]]}, Dimuon())
    assert run(flat, lambda events: {"n": int(ak.sum(events.met))}, schema="flat")["n"] == 5


def test_a_mistake_in_the_processor_names_its_line_and_the_nearest_column(files):
    def typo(events):
        return {"n": int(ak.sum(events.Muon.ptt))}

    def bug(events):
        return {"n": 1 // 0}

    with pytest.raises(RunError, match="no column 'ptt'; did you mean 'pt'"):
        run(files, typo)
    with pytest.raises(RunError, match=r"ZeroDivisionError.*\(test_runner\.py, line \d+\)"):
        run(files, bug)
    with pytest.raises(RunError, match="returned nothing"):
        run(files, lambda events: None)


def test_nothing_is_printed_in_batch_and_importing_costs_nothing(files):
    code = (
        "import sys, hepml_nb.columnar as columnar\n"
        "if 'coffea' in sys.modules: sys.exit('importing columnar imports coffea')\n"
        "columnar.run(sys.argv[1], columnar.Dimuon())"
    )
    # in a process of its own: a Dask cluster of another test may still be saying goodbye in this one
    command = [sys.executable, "-c", code, str(files["a_zmumu"][0])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_look_at_a_file_tells_trees_layout_and_branches(files, folder):
    shutil.copy(files["a_zmumu"][0], folder / "copy.root")
    seen = columnar.look(folder / "copy.root")
    assert (seen.tree, seen.trees, seen.layout, seen.events, seen.simulated) == (
        "Events",
        {"Events": 350},
        "nanoaod",
        350,
        True,
    )
    assert "Muon_pt" in seen.branches
    assert not columnar.look(files["b_data"][0]).simulated
