"""Datasets of the user: manifests that are checked, then kept beside the data."""

from __future__ import annotations

from pathlib import Path

from hepml_nb.core import InputError, manifests_dir
from hepml_nb.data import disk
from hepml_nb.data.manifest import Manifest, parse, user_manifests
from hepml_nb.data.readers import reader

__all__ = ["add_manifest", "keep_manifest"]

_LARGEST = 1_000_000


def add_manifest(path: Path) -> Manifest:
    """Check a manifest and keep it, so that `load` knows its dataset by name from now on; return it.

    One of the same name that was added before is replaced. Raises InputError for a file that is no manifest, names an
    unknown schema, recipe, parameter or reader, or takes the name of a dataset that ships.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes; a manifest is a short text.")
    return keep_manifest(path.read_bytes(), str(path))


def keep_manifest(content: bytes, where: str) -> Manifest:
    """Check and keep the manifest that `content` holds; `where` names it in messages."""
    try:
        about = parse(content.decode("utf-8"), where)
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no text: {error}.") from error
    if (manifests_dir() / f"{about.name}.yaml").exists():
        raise InputError(f"{where}: {about.name!r} is the name of a dataset that ships; choose another.")
    if about.public is not None:
        reader(about.public.reader)
    if about.recipe is not None:
        from hepml_nb.simulate.recipe import recipe

        for parameters in about.recipe.streams.values():
            recipe(about.recipe.name).identity(parameters)
    target = user_manifests() / f"{about.name}.yaml"
    with disk.held(target):
        disk.put(target, content)
    return about
