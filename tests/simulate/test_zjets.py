"""Z + jet before and after the detector: selection, shapes of jets, losses, and the way from Sherpa's file."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, derive_seed
from hepml_nb.simulate import recipe, sherpa
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipes import zjets
from hepml_nb.simulate.shapes import LN_RHO_MIN, ratios, shapes
from hepml_nb.simulate.zjets import of_z, part, total

PARTICLE = np.dtype([("pdg", "=i4"), ("px", "=f4"), ("py", "=f4"), ("pz", "=f4"), ("e", "=f4")])


@pytest.fixture(scope="module")
def events() -> ak.Array:
    return recipe("zjets")(90, seed=4, particles=True, label=2)[0]


def jets(*given: list[tuple[float, float, float]]) -> ak.Array:
    """Return jets of massless particles (pt, y, phi)."""
    rows = [
        [{"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(y), "E": pt * np.cosh(y)}
         for pt, y, phi in jet] for jet in given
    ]  # fmt: skip
    return ak.with_name(ak.Array(rows), "Momentum4D")


def test_shapes_of_two_particles_are_those_of_the_formulas() -> None:
    found = shapes(jets([(80.0, 0.5, 1.0), (20.0, 0.5, 1.2)], [(100.0, 0.3, 0.0)], [(95.0, 0, 0), (5.0, 0.3, 0)]), 0.4)
    # two particles: the axis is the harder one, z = 0.2 and dR / R = 0.5
    assert found["mult"].tolist() == [2, 1, 2]
    assert found["lha"][0] == pytest.approx(0.2 * 0.5**0.5, rel=1e-6)
    assert found["width"][0] == pytest.approx(0.2 * 0.5, rel=1e-6)
    assert found["ang2"][0] == pytest.approx(0.2 * 0.5**2, rel=1e-6)
    assert found["tau2"][0] == pytest.approx(0, abs=1e-9)
    mass = np.sqrt(2 * 80 * 20 * (1 - np.cos(0.2)))
    assert [found["mass"][0], found["sdm"][0]] == pytest.approx([mass, mass], rel=1e-5)
    assert found["zg"][0] == pytest.approx(0.2, rel=1e-6)
    # one particle has no shape; a branch with 5 % of the pt does not pass z = 0.1
    assert [found[name][1] for name in ("lha", "width", "ang2", "zg")] == pytest.approx([0, 0, 0, 0], abs=1e-9)
    assert found["sdm"][1:].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert found["zg"][2] == 0
    assert shapes(jets([(1.0, 0, 0)])[:0])["mass"].shape == (0,)


def test_ratios_have_no_holes() -> None:
    found = ratios([100.0, 100.0], [0.2, 0.0], [0.1, 0.0], [10.0, 0.0])
    assert found["tau21"].tolist() == [0.5, 0.0]
    assert found["ln_rho"] == pytest.approx([np.log(0.01), LN_RHO_MIN])


def test_events_are_those_of_the_selection(events: ak.Array) -> None:
    assert len(events) == 90
    assert ak.all(events.gen_z_pt >= 200 * (1 - 2.0**-10))
    for side in ("gen", "sim"):
        assert ak.all(events[f"{side}_pt"] >= 10)
        assert ak.all(abs(events[f"{side}_y"]) <= 2.5)
        assert ak.all((events[f"{side}_zg"] == 0) | (events[f"{side}_zg"] > 0.0999))
        assert ak.all(events[f"{side}_tau21"] <= 1.01)
    assert ak.all(events.pass_gen & events.pass_sim & (events.label == 2))
    assert len(set(ak.to_list(events.event))) == 90


def test_the_jet_balances_the_z_and_has_no_muon_of_it(events: ak.Array) -> None:
    away = np.abs(np.mod(ak.to_numpy(events.gen_phi - events.gen_z_phi), 2 * np.pi) - np.pi)
    assert np.median(away) < 0.2
    assert np.median(ak.to_numpy(events.gen_pt / events.gen_z_pt)) == pytest.approx(0.9, abs=0.1)
    for side in ("gen", "sim"):
        muons = events[f"{side}_particles"]
        hard = ak.sum((abs(muons.pdg) == 13) & (muons.pt > 20), axis=1)
        assert np.mean(ak.to_numpy(hard) > 0) < 0.05  # those of heavy hadrons remain


def test_the_columns_are_those_of_the_particles(events: ak.Array) -> None:
    for side in ("gen", "sim"):
        inside = events[f"{side}_particles"]
        assert ak.to_list(ak.num(inside)) == ak.to_list(events[f"{side}_mult"])
        assert ak.all(inside.pt[:, :-1] >= inside.pt[:, 1:])
        px, py = ak.sum(inside.pt * np.cos(inside.dphi), axis=1), ak.sum(inside.pt * np.sin(inside.dphi), axis=1)
        assert np.hypot(px, py).to_numpy() == pytest.approx(ak.to_numpy(events[f"{side}_pt"]), rel=5e-3)
        assert ak.all(np.hypot(inside.dy, inside.dphi) < 0.7)
    charged = abs(events.gen_particles.pdg) == 211
    assert 0.35 < ak.sum(charged) / ak.sum(events.gen_mult) < 0.65  # pions carry most of the charged multiplicity


def test_the_detector_smears_the_z_and_the_jet_by_what_it_says(events: ak.Array) -> None:
    response = ak.to_numpy(events.sim_z_pt / events.gen_z_pt)
    assert np.median(response) == pytest.approx(1, abs=0.01)
    assert 0.005 < np.diff(np.percentile(response, [16, 84]))[0] / 2 < 0.04  # two muons of 1.5 to 3 % each
    response = ak.to_numpy(events.sim_pt / events.gen_pt)
    assert np.median(response) == pytest.approx(1, abs=0.02)


def test_same_seed_same_events_other_seed_other_events() -> None:
    one, two, other = (recipe("zjets")(10, seed=seed)[0] for seed in (5, 5, 6))
    assert ak.array_equal(one, two)
    assert not ak.array_equal(one.gen_pt, other.gen_pt)
    assert "gen_particles" not in one.fields


def test_losses_are_told_by_flags_on_both_sides() -> None:
    found, counters = recipe("zjets")(80, seed=9, losses=True)
    gen, sim = ak.to_numpy(found.pass_gen), ak.to_numpy(found.pass_sim)
    assert (gen | sim).all()
    assert ((~gen) & sim).sum() > 0  # from below the threshold, or from outside: fakes
    assert 0.6 < np.mean(sim[gen]) < 0.98  # 0.97^2 for the muons, and migrations
    assert counters["z"] > len(found)
    for side, passed in (("gen", gen), ("sim", sim)):
        assert (ak.to_numpy(found[f"{side}_z_pt"])[passed] >= 200 * (1 - 2.0**-10)).all()
        assert (ak.to_numpy(found[f"{side}_pt"])[passed] >= 100 * (1 - 2.0**-9)).all()
        assert (np.abs(ak.to_numpy(found[f"{side}_y"]))[passed] <= 2.11).all()


def test_events_of_sherpa_go_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of Pythia, in a file as Sherpa's plugin writes it, come out as they do from Pythia itself."""
    monkeypatch.setenv("HEPML_NB_CACHE", str(tmp_path))
    size, seed = 112, 3  # what 40 records or fewer take
    records = Pythia(zjets.Z_AND_PARTON, seed=1, pthat=(250.0, 7000.0), mpi=True).events(size)
    seen = visible(records)
    number = derive_seed(seed, "sherpa", 0) % 900_000_000 + 1
    path = sherpa.working_folder(zjets.run_card()) / "runs" / f"{number}-{size}.bin"
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        for i in range(size):
            mine = seen["event"] == i
            rows = np.zeros(int(mine.sum()), PARTICLE)
            for name, key in (("pdg", "id"), ("px", "px"), ("py", "py"), ("pz", "pz"), ("e", "e")):
                rows[name] = seen[key][mine]
            stream.write(np.float64(1).tobytes() + np.array([0, len(rows)], np.int32).tobytes() + rows.tobytes())
    found, counters = recipe("zjets")(40, seed=seed, generator="sherpa", label=1)
    assert counters["tried"] == counters["events"] == size
    z = total(part(seen, of_z(seen, size)), size)
    expected = np.hypot(z[0], z[1])[ak.to_numpy(found.event)]
    assert ak.to_numpy(found.gen_z_pt) == pytest.approx(expected, rel=2e-3)
    assert ak.all(found.label == 1)
    assert np.median(ak.to_numpy(found.gen_z_mass)) == pytest.approx(91.19, abs=1)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'sherpa'"):
        recipe("zjets")(5, generator="sherp")
    with pytest.raises(InputError, match="expected 200 or more"):
        recipe("zjets")(5, pt_z_min=100)
