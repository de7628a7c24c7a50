import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from hepml_nb.core import InputError, RunError, atomic_dir, atomic_write, content_hash, lock, repo_root


def test_interrupted_write_leaves_the_old_content_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as stream:
        stream.write("new")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_written_file_has_ordinary_permissions(tmp_path):
    with atomic_write(tmp_path / "deep" / "a.bin", "wb") as stream:
        stream.write(b"x")
    mode = stat.S_IMODE((tmp_path / "deep" / "a.bin").stat().st_mode)
    assert mode & stat.S_IRUSR
    assert not mode & stat.S_IXUSR


def test_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "set"
    with atomic_dir(target) as aside:
        (aside / "one").write_text("1")
        assert not target.exists()
    with pytest.raises(RuntimeError, match="stop"), atomic_dir(target) as aside:
        (aside / "two").write_text("2")
        raise RuntimeError("stop")
    assert [p.name for p in target.iterdir()] == ["one"]
    with atomic_dir(target) as aside:
        (aside / "three").write_text("3")
    assert [p.name for p in target.iterdir()] == ["three"]
    assert list(tmp_path.iterdir()) == [target]


def _hold(path: Path, ready: Path) -> None:
    with lock(path):
        ready.touch()
        time.sleep(30)


def test_second_process_waits_for_the_lock_and_says_so(tmp_path):
    ready = tmp_path / "ready"
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "l", ready))
    holder.start()
    try:
        deadline = time.monotonic() + 20
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(RunError, match="locked by another process"), lock(tmp_path / "l", timeout=0.1):
            pass
    finally:
        holder.kill()
        holder.join()
    with lock(tmp_path / "l", timeout=5):  # a killed holder leaves no lock behind
        pass


def test_content_hash_ignores_key_order_and_sees_values():
    assert content_hash({"a": 1, "b": Path("x")}) == content_hash({"b": Path("x"), "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_home_without_manifests_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPML_NB_HOME", str(tmp_path))
    with pytest.raises(LookupError, match="HEPML_NB_HOME"):
        repo_root()


def test_threads_refuses_nonsense(monkeypatch):
    from hepml_nb.core import threads

    monkeypatch.setenv("HEPML_NB_THREADS", "many")
    with pytest.raises(InputError, match="HEPML_NB_THREADS='many'"):
        threads()


def test_umask_is_left_alone(tmp_path):
    before = os.umask(0o022)
    os.umask(before)
    with atomic_write(tmp_path / "x") as stream:
        stream.write("x")
    after = os.umask(before)
    assert after == before
