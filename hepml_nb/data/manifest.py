"""Manifests: what a dataset is, what its columns mean, where its files are and which recipe makes a twin of it."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from hepml_nb.core import InputError, NotFound, cache_dir, manifests_dir, suggest

__all__ = ["PROFILES", "SPLITS", "Column", "Cost", "File", "Manifest", "Public", "RecipeSpec", "Schema", "manifest",
           "names", "parse", "places", "schema", "user_manifests"]  # fmt: skip

PROFILES = ("smoke", "tutorial", "full", "long")
SPLITS = ("train", "val", "test")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Column:
    """A column of the records: numpy type, unit ("" for none), meaning, and shape where a record holds an array."""

    dtype: str
    meaning: str
    unit: str = ""
    shape: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Schema:
    """What records of a kind hold: `columns`, and `collections` of any number of things, each with its own columns."""

    name: str
    about: str
    columns: dict[str, Column]
    collections: dict[str, dict[str, Column]] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A public file: where it is, what it holds and, where published, its size and checksum.

    An empty `url` is completed by `Public.base`; without either the owner put the file here, and it cannot be fetched.
    `split` is one of the splits, or "all" for a file that `Public.fractions` divides. `stream` names the class of all
    its records where it holds one class only. `members` makes it an archive (tar, zip): the patterns of the members to
    read, each with its stream ("" for mixed classes).
    """

    name: str
    url: str = ""
    split: str = "all"
    stream: str = ""
    members: dict[str, str] = field(default_factory=dict)
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that leave the folder of the dataset and addresses that are not https."""
        path = PurePosixPath(self.name)
        if path.is_absolute() or ".." in path.parts or "\\" in self.name or ":" in self.name:
            raise InputError(f"file name {self.name!r} leaves the folder of its dataset; expected a plain name.")
        if self.url and not self.url.startswith("https://"):
            raise InputError(f"file {self.name!r}: url {self.url!r} is not an https address.")


@dataclass(frozen=True)
class Public:
    """The public original: the reader of its format (a module of `data.readers`), its options, and its files.

    `fractions` says which part of every file with split "all" goes to which split, in the order of the file. `base` is
    the address to which names are appended where a file has none of its own. `shares` names a dataset whose folder of
    files this one uses, so that the same files are not fetched twice.
    """

    reader: str
    files: list[File]
    base: str = ""
    shares: str = ""
    fractions: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Complete addresses; check that the fractions are those of known splits, and there where a file needs them."""
        if self.base:
            full = [one if one.url else dataclasses.replace(one, url=self.base + one.name) for one in self.files]
            object.__setattr__(self, "files", full)
        for split in self.fractions:
            _known(split, SPLITS, "public.fractions")
        if self.fractions and not 0 < sum(self.fractions.values()) <= 1 + 1e-9:
            raise InputError(f"public.fractions: {self.fractions} sum to more than 1.")
        for file in self.files:
            if file.split != "all":
                _known(file.split, SPLITS, f"public.files: {file.name}")
            elif not self.fractions:
                raise InputError(f"public.files: {file.name} holds all splits; give public.fractions.")


@dataclass(frozen=True)
class Cost:
    """Measured cost of 1000 records of a stream on one core."""

    core_seconds: float
    kib: float


@dataclass(frozen=True)
class RecipeSpec:
    """The recipe of the twin: one stream of chunks per class, each with its parameters and measured cost."""

    name: str
    chunk: int
    streams: dict[str, dict[str, Any]]
    cost: dict[str, Cost]
    seed: int = 0


@dataclass(frozen=True)
class Manifest:
    """A dataset.

    `schema` names what its records hold (a file of data_manifests/schemas); `columns` and `collections` given here come
    on top. `recipe` makes its twin; a public set without one can only be fetched. `profiles` gives the number of
    records per profile, split and stream; the streams are those of the recipe and, in general, the classes. `keeps`
    names, for a profile that ships as a sample, the only columns that it ships with; "constituents.pt" is a column of a
    collection.
    """

    name: str
    title: str
    topic: str
    licence: str
    citation: str
    about: str
    schema: str
    profiles: dict[str, dict[str, dict[str, int]]]
    classes: dict[str, int] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    collections: dict[str, dict[str, Column]] = field(default_factory=dict)
    recipe: RecipeSpec | None = None
    doi: str = ""
    public: Public | None = None
    keeps: dict[str, list[str]] = field(default_factory=dict)
    traps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Add the columns of the schema; check that profiles, splits, streams and files fit together."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name):  # it is the name of folders
            raise InputError(f"name {self.name!r} is no plain name; expected lower-case letters, digits, - and _.")
        kind = schema(self.schema)
        object.__setattr__(self, "columns", {**kind.columns, **self.columns})
        names = {**kind.collections, **self.collections}
        merged = {name: {**kind.collections.get(name, {}), **self.collections.get(name, {})} for name in names}
        object.__setattr__(self, "collections", merged)
        if self.recipe is None and self.public is None:
            raise InputError(f"{self.name}: neither public files nor a recipe; expected one of them at least.")
        streams = set(self.recipe.streams) if self.recipe else {*self.classes, "all"}
        for stream in self.recipe.streams if self.recipe else ():
            _known(stream, self.recipe.cost if self.recipe else (), f"{self.name}: recipe.cost")
        for profile, splits in self.profiles.items():
            _known(profile, PROFILES, f"{self.name}: profiles")
            for split, counts in splits.items():
                _known(split, SPLITS, f"{self.name}: profiles.{profile}")
                for stream in counts:
                    _known(stream, streams, f"{self.name}: profiles.{profile}.{split}")
        inside = [f"{name}.{column}" for name, columns in self.collections.items() for column in columns]
        for profile, kept in self.keeps.items():
            _known(profile, self.profiles, f"{self.name}: keeps")
            for column in kept:
                _known(column, (*self.columns, *self.collections, *inside), f"{self.name}: keeps.{profile}")
        for file in self.public.files if self.public else ():
            for stream in filter(None, (file.stream, *file.members.values())):
                _known(stream, streams, f"{self.name}: public.files: {file.name}")

    def counts(self, profile: str) -> dict[str, dict[str, int]]:
        """Return {split: {stream: records}} of a profile; raise NotFound when the dataset does not have it."""
        if profile not in self.profiles:
            raise NotFound(f"dataset {self.name!r} has no profile {profile!r}{suggest(profile, self.profiles)}")
        return self.profiles[profile]


def _known(word: str, options: Any, where: str) -> None:
    if word not in options:
        raise InputError(f"{where}: {word!r} is unknown{suggest(word, options)}")


def schema(name: str) -> Schema:
    """Return the schema `name`: what records of that kind hold; raise NotFound with the nearest name."""
    known = {path.stem: path for path in (manifests_dir() / "schemas").glob("*.yaml")}
    if name not in known:
        raise NotFound(f"there is no schema {name!r}{suggest(name, sorted(known))}")
    found: Schema = _build(Schema, _yaml(known[name].read_text(encoding="utf-8"), name), f"schemas/{name}.yaml")
    return found


def names() -> list[str]:
    """Return the names of all datasets: those that ship, then those that the user added."""
    return list(places())


def places() -> dict[str, Path]:
    """Return where the manifest of every dataset is; one that the user added never hides one that ships."""
    mine = sorted(user_manifests().glob("*.yaml"))
    shipped = {path.stem: path for path in sorted(manifests_dir().glob("*.yaml"))}
    return {**shipped, **{path.stem: path for path in mine if path.stem not in shipped}}


def user_manifests() -> Path:
    """Return the folder of the manifests that the user added."""
    return cache_dir() / "manifests"


def manifest(name: str) -> Manifest:
    """Return the manifest of the dataset `name`; raise NotFound with the nearest name, InputError for a bad file."""
    known = places()
    if name not in known:
        raise NotFound(f"there is no dataset {name!r}{suggest(name, known)}")
    return parse(known[name].read_text(encoding="utf-8"), f"{name}.yaml")


def parse(text: str, where: str | Path = "manifest") -> Manifest:
    """Return the manifest that `text` (YAML) describes; unknown, missing or mistyped keys raise InputError."""
    return _build(Manifest, _yaml(text, where), str(where))  # type: ignore[no-any-return]


def _yaml(text: str, where: str | Path) -> Any:
    try:
        return yaml.load(text, _LOADER)  # noqa: S506 - both are safe loaders, one is fast
    except yaml.YAMLError as error:
        raise InputError(f"{where} is no YAML: {error}") from error


def _build(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind`: dataclasses from mappings, lists and dicts item by item, plain values checked."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _build(inner, value, where)
    if origin is list:
        return [_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_is(list, value, where))]
    if origin is dict:
        return {str(key): _build(arguments[1], item, f"{where}.{key}") for key, item in _is(dict, value, where).items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if kind is Any else _is(kind, value, where)


def _record(kind: type, value: Any, where: str) -> Any:
    given: Mapping[str, Any] = _is(dict, value, where)
    hints = get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key in given:
        _known(str(key), fields, where)
    optional = (dataclasses.MISSING, dataclasses.MISSING)
    missing = [k for k, item in fields.items() if k not in given and (item.default, item.default_factory) == optional]
    if missing:
        raise InputError(f"{where}: missing {', '.join(missing)}.")
    return kind(**{key: _build(hints[key], item, f"{where}: {key}") for key, item in given.items()})


def _is(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where} is {value!r} ({type(value).__name__}); expected {kind.__name__}.")
    return value
