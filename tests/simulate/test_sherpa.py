"""Sherpa as a program: its run card, its events' file, and a stand-in that is run as the real one would be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hepml_nb.core import InputError, NotFound, RunError
from hepml_nb.simulate import sherpa
from hepml_nb.simulate.recipes.zjets import run_card

PARTICLE = np.dtype([("pdg", "=i4"), ("px", "=f4"), ("py", "=f4"), ("pz", "=f4"), ("e", "=f4")])

STAND_IN = """#!{python}
import pathlib, struct, sys
if "--version" in sys.argv:
    print("Sherpa version {version} (stand-in)")
    sys.exit()
given = dict(argument.split(": ", 1) for argument in sys.argv[1:])
n, seed = int(given["EVENTS"]), int(given["RANDOM_SEED"])
assert pathlib.Path("Sherpa.yaml").is_file() and pathlib.Path("libSherpaHepmlNbOutput.so").is_file()
pathlib.Path("Results.zip").touch()
with open("../../integrations" if n == 0 else "../runs.txt", "a") as told:
    told.write("%d %d\\n" % (seed, n))
if n == {bad}:
    print("the phase space is empty")
    sys.exit(3)
if "EVENT_OUTPUT" in given:
    name = given["EVENT_OUTPUT"].removeprefix("HepmlNb[").removesuffix("]")
    with open(name + ".bin", "wb") as stream:
        for i in range(n - ({short} if n == 50 else 0)):
            stream.write(struct.pack("=diii4f", 1.0, 0, 1, 13, seed, i, 0, 9e3))
"""


def record(path: Path) -> Path:
    """Write two events as the plugin does: weight, numbers of hard and final particles, then the particles."""
    first = np.array([(23, 0, 0, 1, 91), (13, 3, 4, 12, 13), (14, 1, 1, 1, 2), (-13, 1, 0, 0, 1)], PARTICLE)
    second = np.array([(1, 9, 9, 9, 9), (21, 8, 8, 8, 8), (211, 0, 1, 2, 3)], PARTICLE)
    with path.open("wb") as stream:
        for weight, hard, particles in ((0.5, 1, first), (2.0, 2, second)):
            stream.write(np.float64(weight).tobytes())
            stream.write(np.array([hard, len(particles) - hard], np.int32).tobytes())
            stream.write(particles.tobytes())
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for Sherpa and for the compiler in place, and a cache of its own."""
    root = tmp_path / "program"
    monkeypatch.setenv("HEPML_NB_SHERPA", str(root))
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    put(root / "bin" / "Sherpa", STAND_IN.format(python=sys.executable, version=sherpa.VERSION, bad=13, short=1))
    compiler = f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path(sys.argv[-1]).touch()\n"
    monkeypatch.setenv("CXX", str(put(tmp_path / "compiler", compiler)))
    return root


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


def test_the_run_card_is_that_of_z_and_jet() -> None:
    card = yaml.safe_load(run_card())
    assert card["BEAM_ENERGIES"] == 7000
    assert card["EVENT_GENERATION_MODE"] == "Unweighted"
    assert card["PROCESSES"] == [{"93 93 -> 13 -13 93": {"Order": {"QCD": 1, "EW": 2}}}]
    assert card["SELECTORS"] == [["Mass", 13, -13, 66, 116], ["PT", 93, 150, "E_CMS"]]
    assert (card["FRAGMENTATION"], card["MI_HANDLER"]) == ("Ahadic", "Amisic")
    bare = yaml.safe_load(sherpa.run_card("93 93 -> 93 93", order="{}", selectors=(), mpi=False, hadrons=False))
    assert (bare["FRAGMENTATION"], bare["MI_HANDLER"]) == ("None", "None")


def test_events_are_read_as_the_plugin_writes_them(tmp_path: Path) -> None:
    events = sherpa.read(record(tmp_path / "a.bin"))
    assert len(events) == 2
    assert events.weight.tolist() == [0.5, 2.0]
    assert events.hard.tolist() == [1, 2]
    assert events.final.tolist() == [3, 1]
    seen = events.visible()  # without the neutrino, and without the particles of the matrix element
    assert seen["event"].tolist() == [0, 0, 1]
    assert seen["id"].tolist() == [13, -13, 211]
    assert (seen["px"].tolist(), seen["e"].tolist()) == ([3, 1, 0], [13, 1, 3])
    assert events[1:].visible()["id"].tolist() == [211]
    assert events[1:].visible()["event"].tolist() == [0]


def test_files_that_are_cut_or_something_else_are_named(tmp_path: Path) -> None:
    content = record(tmp_path / "a.bin").read_bytes()
    for name, bad in (("in a particle", content[:-7]), ("in a head", content + content[:9]),
                      ("numbers", content[:8] + b"\xff" * 8 + content[16:])):  # fmt: skip
        (tmp_path / "b.bin").write_bytes(bad)
        with pytest.raises(InputError, match="no whole file of Sherpa events"):
            sherpa.read(tmp_path / "b.bin")
        assert name
    (tmp_path / "b.bin").write_bytes(b"")
    assert len(sherpa.read(tmp_path / "b.bin")) == 0


def test_runs_are_integrated_once_and_told_by_their_seed(installed: Path) -> None:
    one, same, other = (sherpa.events("card: 1\n", 20, seed) for seed in (7, 7, 8))
    assert len(one) == 20
    assert one.particles.tobytes() == same.particles.tobytes()
    assert one.particles.tobytes() != other.particles.tobytes()
    folder = sherpa.working_folder("card: 1\n")
    assert (folder / "integrations").read_text() == "1 0\n"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["integrated"]  # nothing left behind
    assert sherpa.working_folder("card: 2\n") != folder


def test_events_that_are_kept_are_not_made_again(installed: Path) -> None:
    made = sherpa.events("card: 1\n", 20, 7, keep=True)
    again = sherpa.events("card: 1\n", 20, 7)
    assert made.particles.tobytes() == again.particles.tobytes()
    assert (sherpa.working_folder("card: 1\n") / "runs.txt").read_text() == "8 20\n"


def test_runs_that_fail_say_why(installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"code 3.*phase space is empty"):
        sherpa.events("card: 1\n", 13, 1)
    with pytest.raises(RunError, match="wrote 49 of 50"):
        sherpa.events("card: 1\n", 50, 1)
    with pytest.raises(InputError, match="n=0"):
        sherpa.events("card: 1\n", 0, 1)
    put(tmp_path / "compiler", f"#!{sys.executable}\nimport sys\nsys.exit('no headers here')\n")
    with pytest.raises(RunError, match="no headers here"):
        sherpa.events("card: 3\n", 5, 1)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="install g"):
        sherpa.events("card: 3\n", 5, 1)


def test_what_is_missing_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPML_NB_SHERPA", str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match=r"pip install .*--target .*nowhere sherpa-mc==3\.0\.3b2"):
        sherpa.installation()
    monkeypatch.delenv("HEPML_NB_SHERPA")
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NotFound, match="cache/sherpa/program"):
        sherpa.events(run_card(), 5, 1)


def test_other_versions_are_refused(installed: Path) -> None:
    put(installed / "bin" / "Sherpa", STAND_IN.format(python=sys.executable, version="2.2.15", bad=13, short=1))
    with pytest.raises(InputError, match=r"2\.2\.15.*expected 3\.0\.3"):
        sherpa.installation()
