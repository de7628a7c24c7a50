"""Loading, making, fetching and checking datasets by name."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from hepml_nb.core import InputError, NotFound, content_hash, quiet, suggest
from hepml_nb.data import disk, fetching, samples, user
from hepml_nb.data.dataset import Dataset
from hepml_nb.data.farm import make as make_chunks
from hepml_nb.data.manifest import Manifest, manifest, names
from hepml_nb.data.twins import Estimate, in_turns, total, twin, twin_chunks
from hepml_nb.data.twins import estimate as estimate_twin

__all__ = ["Estimate", "add", "estimate", "fetch", "identity", "list", "load", "make", "twin_chunks", "verify",
           "write_sample"]  # fmt: skip

Source = Literal["auto", "public", "twin", "sample"]
_SOURCES = ("auto", "public", "twin", "sample")


def load(
    name: str, profile: str = "smoke", source: Source = "auto", seed: int = 0, make: bool = True, partial: bool = False
) -> Dataset:  # fmt: skip
    """Return a dataset by name.

    `source="auto"` takes the sample that ships for the smoke profile, else the public files where they were fetched,
    else a sample of another profile where one ships, else the simulated twin, which is made (minutes; the estimate is
    printed first) unless `make=False`. `seed` draws the order of the records; with `source="twin"` a seed other than 0
    also makes other events. `partial` takes what is made of the twin so far, after an interruption, and makes nothing.
    A damaged chunk of the cache is set aside and made again, or with `make=False` raises RunError when it is read.
    Raises NotFound for an unknown name, profile or data that are not there, with what to do about it.
    """
    if source not in _SOURCES:
        raise InputError(f"source={source!r} is unknown{suggest(source, _SOURCES)}")
    about = manifest(name)
    about.counts(profile)
    if partial and source in ("public", "sample"):
        raise InputError(f"partial=True is for twins; source={source!r} is whole or not there.")
    if not partial and (source == "sample" or (source == "auto" and profile == "smoke" and samples.ships(about))):
        return samples.sample(about, profile, seed)
    if source == "public" or about.recipe is None or (source == "auto" and fetching.fetched(about) and not partial):
        from hepml_nb.data import public

        return public.load(about, profile, seed)
    if source == "auto" and not partial and samples.ships(about, profile):
        return samples.sample(about, profile, seed)
    return _twin(about, profile, seed, seed if source == "twin" else 0, make and not partial, partial)


def _twin(about: Manifest, profile: str, order: int, seed: int, make: bool, partial: bool) -> Dataset:
    chunks = in_turns(twin_chunks(about, profile, seed))
    if not partial and not all(chunk.made() for chunk in chunks):
        told = estimate_twin(about, profile, seed)
        if not make:
            raise NotFound(f"{told}; make them with `hepml-nb data make {about.name} --profile {profile}`.")
        print(f"Making {told}")
        make_chunks(chunks, say=None if quiet() else print)
    return twin(about, profile, order, seed, mend=make, partial=partial)


def list() -> dict[str, dict[str, Any]]:
    """Return for every dataset its title, topic, licence, records and MiB per profile, and which sources are at hand.

    `sources` are "sample" and "public" where they are here, `made` the profiles whose twin is whole in the cache, and
    `mib` the size of the twin of each profile.
    """
    table = {}
    for name in names():
        about = manifest(name)
        sizes = {profile: total(about.counts(profile)) for profile in about.profiles}
        here = [source for source, there in (("sample", samples.ships(about)),
                                             ("public", fetching.fetched(about))) if there]  # fmt: skip
        told = {profile: estimate_twin(about, profile) for profile in about.profiles if about.recipe}
        made = [profile for profile, one in told.items() if one.missing_seconds == 0]
        table[name] = {"title": about.title, "topic": about.topic, "licence": about.licence, "records": sizes,
                       "mib": {profile: round(one.mib, 1) for profile, one in told.items()},
                       "sources": here, "made": made}  # fmt: skip
    return table


def estimate(name: str, profile: str = "tutorial", seed: int = 0) -> Estimate:
    """Return what the twin of a profile takes, from the costs in the manifest and what the cache already has."""
    return estimate_twin(manifest(name), profile, seed)


def make(
    name: str,
    profile: str = "tutorial",
    *,
    seed: int = 0,
    workers: int | None = None,
    say: Callable[[str], Any] | None = print,
    client: Any = None,
) -> Dataset:
    """Make the twin of a dataset, one process per core unless `workers` says otherwise, and return it.

    With a Dask `client` (`with core.client() as client:`) its workers make it. The estimate is said first. Interrupted
    work is kept: the next call goes on from there, and `load(name, profile, partial=True)` gives what there is.
    """
    about = manifest(name)
    chunks = in_turns(twin_chunks(about, profile, seed))
    if say is not None:
        say(str(estimate_twin(about, profile, seed)))
    make_chunks(chunks, workers, say, client)
    return twin(about, profile, seed, seed, mend=True)


def fetch(name: str, only: str = "*") -> builtins.list[Path]:
    """Download the public files of a dataset that are not here yet, check them, and return their paths.

    `only` is a pattern of file names such as "*_0.npz"; a part of a large set will do.
    """
    return fetching.fetch(manifest(name), only)


def add(name: str | Path, files: Sequence[str | Path] = ()) -> Manifest:
    """Make what the user has known: files of a public dataset, or a manifest of his own; return the manifest.

    With `files`, which were downloaded by other means, they are checked and put in place as the public files of the
    dataset `name`. Without, `name` is the path of a manifest (YAML), which is checked and kept. Raises InputError for
    what does not fit, and then changes nothing.
    """
    if not files:
        if Path(name).suffix not in (".yaml", ".yml"):
            raise InputError(f"{name} is no manifest (.yaml); to put public files in place, name dataset and files.")
        return user.add_manifest(Path(name))
    about = manifest(str(name))
    fetching.add(about, [Path(file) for file in files])
    return about


def verify(name: str) -> dict[str, str]:
    """Check the sample, the fetched files and every made chunk of a dataset against their checksums.

    Returns {path: "ok" | "damaged" | "unknown"}; "unknown" is a public file without a published or recorded checksum.
    """
    about = manifest(name)
    found = {**fetching.verify(about), **samples.verify(about)}
    for profile in about.profiles if about.recipe else ():
        for chunk in in_turns(twin_chunks(about, profile, 0)):
            if chunk.path.is_file() and str(chunk.path) not in found:
                good = chunk.made() and disk.digest(chunk.path, "sha256") == chunk.record()["sha256"]
                found[str(chunk.path)] = "ok" if good else "damaged"
    return found


def identity(name: str, profile: str) -> str:
    """Return what stands for the content that `load(name, profile)` would give here, without making or reading it.

    It depends on the sample, the public files (sizes and times) or the recipe with its versions, whichever `load` would
    take; "missing" stands for public files that are not here. Raises NotFound for an unknown name or profile.
    """
    about = manifest(name)
    counts = about.counts(profile)
    if profile == "smoke" and samples.ships(about):
        record = samples.record(about)
        return content_hash([record["identity"], record["splits"]])
    if about.public is not None and fetching.fetched(about):
        return content_hash(["public", counts, fetching.states(about)])
    if samples.ships(about, profile):
        record = samples.record(about, profile)
        return content_hash([record["identity"], record["splits"]])
    if about.recipe is None:
        return "missing"
    chunks = {
        split: {stream: [chunk.identity for chunk in row] for stream, row in streams.items()}
        for split, streams in twin_chunks(about, profile).items()
    }
    return content_hash(["twin", counts, chunks])


def write_sample(name: str, profile: str = "smoke") -> int:
    """Write a profile as a sample that ships and return its bytes; for maintainers, after a version bump."""
    return samples.write(manifest(name), load(name, profile, "twin"))
