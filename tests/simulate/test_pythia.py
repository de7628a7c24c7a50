"""Pythia is configured without typos, repeats with its seed, and its decay quarks are those of the tops and Ws."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.simulate import Pythia, generate
from hepml_nb.simulate.pythia import decay_quarks, visible


def invariant(momenta: np.ndarray) -> np.ndarray:
    total = momenta.sum(axis=-2)
    return np.sqrt(total[..., 3] ** 2 - (total[..., :3] ** 2).sum(axis=-1))


@pytest.fixture(scope="module")
def tops() -> ak.Array:
    return Pythia("top", seed=4, pthat=(500, 800)).events(60)


def test_decay_quarks_add_up_to_tops_and_ws(tops: ak.Array) -> None:
    quarks = decay_quarks(tops, "top")
    assert quarks.shape == (60, 2, 3, 4)
    assert np.median(invariant(quarks)) == pytest.approx(172.5, abs=2.5)
    assert np.median(invariant(quarks[:, :, :2])) == pytest.approx(80.4, abs=2)


def test_visible_particles_are_final_and_no_neutrinos(tops: ak.Array) -> None:
    seen = visible(tops)
    assert not np.isin(np.abs(seen["id"]), (12, 14, 16)).any()
    total = np.bincount(seen["event"], seen["e"])
    assert np.all(total < 14_001)
    assert np.median(total) > 10_000
    assert np.abs(np.bincount(seen["event"], seen["px"])).max() < 700  # what the neutrinos took


def test_same_seed_same_events_other_seed_other_events() -> None:
    first, again, other = (generate("w", n=5, seed=seed, detector=False) for seed in (1, 1, 2))
    assert ak.array_equal(first.visible.px, again.visible.px)
    assert not ak.array_equal(ak.num(first.record), ak.num(other.record))


def test_generated_events_hold_what_a_display_needs() -> None:
    events = generate("qcd", n=5, seed=3)
    assert len(events) == 5
    assert {"record", "visible", "quarks", "candidates", "pthat"} == set(events.fields)
    assert ak.all(ak.num(events.quarks) == 0)
    assert ak.all((events.pthat > 499) & (events.pthat < 801))
    record = events.record[0]
    assert record.id[1] == record.id[2] == 2212
    assert ak.all(record.mother1 < len(record))
    assert set(np.unique(np.abs(ak.to_numpy(ak.flatten(events.candidates.pdg))))) <= {11, 13, 22, 130, 211}


def test_multiparton_interactions_add_particles() -> None:
    off, on = (np.mean(ak.num(generate("w", n=20, seed=1, mpi=mpi, detector=False).visible)) for mpi in (False, True))
    assert on > 1.3 * off


def test_typos_are_errors_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="Beams:eCN = 1"):
        Pythia("qcd", settings=("Beams:eCN = 1",))
    with pytest.raises(NotFound, match="did you mean 'qcd'"):
        Pythia("qdc")
    with pytest.raises(InputError, match="window"):
        Pythia("qcd", pthat=(500, 400))
    with pytest.raises(InputError, match="at least 1"):
        generate("qcd", n=0)
