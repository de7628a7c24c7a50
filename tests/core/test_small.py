import io
import sys

import numpy as np
import pytest

from hepml_nb.core import InputError, client, derive_seed, device, progress, rng, suggest, threads, tune_allocator


def test_seed_depends_on_every_label_and_on_nothing_else():
    assert derive_seed(0, "train", 3) == derive_seed(0, "train", 3)
    seeds = {derive_seed(s, part, i) for s in range(20) for part in ("train", "test") for i in range(20)}
    assert len(seeds) == 800
    assert np.array_equal(rng(1, "a").random(4), rng(1, "a").random(4))


@pytest.mark.parametrize("bad", ["0", 1.5, True, None])
def test_seed_must_be_an_integer(bad):
    with pytest.raises(InputError, match="expected an integer"):
        derive_seed(bad)


def test_suggestion_names_the_nearest_and_what_exists():
    assert suggest("epoch", ["epochs", "seed"]) == "; did you mean 'epochs'? Known: epochs, seed."
    assert "did you mean" not in suggest("zzz", ["epochs"])
    assert "(30 in all)" in suggest("x", [f"n{i}" for i in range(30)])


def test_progress_is_silent_in_batch(monkeypatch):
    monkeypatch.setenv("HEPML_NB_BATCH", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(range(3), desc="work") as bar:
        assert list(bar) == [0, 1, 2]
        bar.set_postfix_str("done")
    assert sys.stderr.getvalue() == ""


def test_device_says_what_it_takes():
    assert device("cpu").type == "cpu"
    with pytest.raises(InputError, match="'auto', 'cpu'"):
        device("gpu")


def test_threads_follow_the_environment(monkeypatch):
    before = threads()
    monkeypatch.setenv("HEPML_NB_THREADS", "1")
    assert threads() == 1
    assert threads(before) == before


def test_allocator_can_be_left_alone(monkeypatch):
    monkeypatch.setenv("HEPML_NB_ALLOCATOR", "system")
    assert tune_allocator() is False


def test_unknown_cluster_address_is_named():
    with pytest.raises(InputError, match="'gateway'"), client("ftp://x"):
        pass
