"""Committed results: the sidecars in notebooks/results/, whether they are still those of today's code, and new ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, atomic_write, notebooks_dir, progress
from hepml_nb.runtime.cache import results_key
from hepml_nb.runtime.notebooks import NotebookLike, discover, find, info
from hepml_nb.runtime.parameters import validate
from hepml_nb.runtime.runner import Run, run

__all__ = [
    "Staleness",
    "claim_problems",
    "committed",
    "read_sidecar",
    "refresh",
    "result_path",
    "results_dir",
    "staleness",
]

_SIGMA = 2.0


@dataclass(frozen=True)
class Staleness:
    """Whether a committed result is still what the notebook, its data and its topic's code would give, and why not."""

    notebook: str
    profile: str
    path: Path
    stale: bool
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.notebook} ({self.profile}): {'stale: ' + ', '.join(self.reasons) if self.stale else 'fresh'}"


def results_dir() -> Path:
    """Return notebooks/results/."""
    return notebooks_dir() / "results"


def result_path(notebook: NotebookLike, profile: str) -> Path:
    """Return notebooks/results/<topic>/<slug>.<profile>.metrics.json."""
    return results_dir() / f"{info(notebook).id}.{profile}.metrics.json"


def committed(profile: str | None = None) -> list[Path]:
    """Return the committed sidecars, of one profile or of all."""
    return sorted(results_dir().rglob(f"*.{profile or '*'}.metrics.json"))


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """Return a sidecar's content; raises InputError when it is none of schema 1."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != 1 or not isinstance(content["metrics"], list):
            raise ValueError("schema 1 with a list of metrics was expected")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is not a metrics sidecar: {error}.") from error
    return dict(content)


def staleness(profile: str | None = None) -> list[Staleness]:
    """Return, for each committed sidecar, whether it is stale; with a profile, notebooks without one count as stale."""
    found = [_judge(path) for path in committed(profile)]
    if profile is not None:
        have = {one.notebook for one in found}
        lacking = [name for name in discover() if name not in have and profile in info(name).minutes]
        found += [Staleness(name, profile, result_path(name, profile), True, ("never run",)) for name in lacking]
    return found


def refresh(
    profile: str = "tutorial", only_stale: bool = True, notebooks: Sequence[str] | None = None, **options: Any
) -> list[Run]:
    """Run the notebooks whose committed results are stale (or all) and write their sidecars; options go to `run`."""
    wanted = None if notebooks is None else {info(find(name)).id for name in notebooks}
    todo = [one for one in staleness(profile) if wanted is None or one.notebook in wanted]
    todo = [one for one in todo if one.stale or not only_stale]
    runs = []
    for one in progress(todo, desc=f"{profile} results", unit="notebook"):
        done = run(one.notebook, profile=profile, **options)
        with atomic_write(one.path) as stream:
            stream.write(json.dumps(done.metrics, indent=1, ensure_ascii=False) + "\n")
        runs.append(done)
    return runs


def claim_problems(sidecar: Mapping[str, Any], expected: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with a sidecar's claims: an outcome that its own sigma does not bear out, or not expected.

    expected: text -> outcome, as the notebook's metadata `hepml.claims` says.
    """
    claims = {claim["text"]: claim for claim in sidecar["claims"]}
    found = []
    for text, claim in claims.items():
        sigma = claim["sigma"] if claim["sigma"] is not None else float("inf") * (claim["difference"] or 0.0)
        outcome = "holds" if sigma > _SIGMA else "reversed" if sigma < -_SIGMA else "consistent"
        if claim["outcome"] != outcome:
            found.append(f"{text!r} is said to be {claim['outcome']}, but {sigma:+.2f} sigma means {outcome}")
    for text, outcome in (expected or {}).items():
        if text not in claims:
            found.append(f"{text!r} is expected, but was not judged")
        elif claims[text]["outcome"] != outcome:
            found.append(f"{text!r} came out {claims[text]['outcome']}, expected {outcome}")
    return found


def _judge(path: Path) -> Staleness:
    sidecar = read_sidecar(path)
    name, profile = str(sidecar["notebook"]), str(sidecar["profile"])
    if name not in discover():
        return Staleness(name, profile, path, True, ("the notebook is gone",))
    try:
        values = validate(name, sidecar["parameters"])
    except (InputError, LookupError):
        return Staleness(name, profile, path, True, ("its parameters have changed",))
    key = results_key(name, values, profile)
    if key.hex == sidecar.get("key"):
        return Staleness(name, profile, path, False)
    return Staleness(name, profile, path, True, tuple(_reasons(sidecar.get("key_parts", {}), key.parts)))


def _reasons(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    words = {"notebook": "its cells have changed", "parameters": "its parameters have changed"}
    found = [text for part, text in words.items() if old.get(part) != new[part]]
    for part, text in (("datasets", "dataset {} has changed"), ("code", "the code of hepml_nb.{} has changed")):
        before, after = old.get(part, {}), new[part]
        found += [text.format(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return found or ["its key is of another kind"]
