"""Manifests are read strictly: what is unknown, missing, mistyped or unsafe is named."""

from __future__ import annotations

import pytest
import yaml

from hepml_nb.core import InputError, NotFound, manifests_dir
from hepml_nb.data import manifest
from hepml_nb.data.manifest import names, parse
from hepml_nb.simulate import FIELDS, recipe


def changed(**edits: object) -> str:
    content = yaml.safe_load((manifests_dir() / "top-tagging.yaml").read_text(encoding="utf-8"))
    return yaml.safe_dump({**content, **edits})


@pytest.mark.parametrize("name", ["top-tagging", "boosted-jets"])
def test_shipped_manifests_describe_the_schema(name: str) -> None:
    about = manifest(name)
    assert set(about.columns) == set(FIELDS)
    for column, kind in FIELDS.items():
        assert about.columns[column].dtype == kind.__name__.rstrip("_")
    assert set(about.collections["constituents"]) == {"pt", "deta", "dphi", "pdg"}
    for parameters in about.recipe.streams.values():
        recipe(about.recipe.name).parameters(parameters)
    assert about.licence
    assert about.traps
    labels = {stream: parameters["label"] for stream, parameters in about.recipe.streams.items()}
    assert labels == about.classes


def test_every_manifest_loads() -> None:
    assert {"top-tagging", "boosted-jets"} <= set(names())
    for name in names():
        assert manifest(name).name == name


def test_the_public_set_is_cited() -> None:
    about = manifest("top-tagging")
    assert (about.doi, about.citation) == ("10.5281/zenodo.2603256", "arXiv:1902.09914")
    assert about.public is not None
    assert {file.split for file in about.public.files} == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"licens": "MIT"}, "'licens' is unknown; did you mean 'licence'"),
        ({"title": 3}, r"title is 3 \(int\); expected str"),
        ({"profiles": {"smoke": {"tset": {"qcd": 1}}}}, "did you mean 'test'"),
        ({"profiles": {"smok": {"test": {"qcd": 1}}}}, "did you mean 'smoke'"),
        ({"profiles": {"smoke": {"test": {"qdc": 1}}}}, "did you mean 'qcd'"),
        ({"profiles": {"smoke": {"test": {"qcd": 1.5}}}}, "expected int"),
        ({"classes": {"qcd": True}}, "expected int"),
        ({"recipe": {"name": "jets", "chunk": 5, "streams": {"qcd": {}}, "cost": {}}}, "cost: 'qcd' is unknown"),
        ({"recipe": {"name": "jets"}}, "missing chunk, streams, cost"),
        ({"columns": []}, "expected dict"),
    ],
)
def test_wrong_keys_and_types_are_named(edits: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(changed(**edits))


@pytest.mark.parametrize("name", ["../train.h5", "/etc/passwd", "a/../../b", "C:\\x", "..\\x"])
def test_file_names_that_leave_their_folder_are_refused(name: str) -> None:
    file = {"name": name, "split": "train", "url": "https://example.org/x"}
    with pytest.raises(InputError, match="leaves the folder"):
        parse(changed(public={"reader": "top_tagging", "files": [file]}))


def test_only_https_is_fetched_from() -> None:
    file = {"name": "x.h5", "split": "train", "url": "ftp://example.org/x"}
    with pytest.raises(InputError, match="https"):
        parse(changed(public={"reader": "top_tagging", "files": [file]}))


def test_no_yaml_and_code_in_yaml_are_refused() -> None:
    with pytest.raises(InputError, match="no YAML"):
        parse("a: [1")
    with pytest.raises(InputError, match="no YAML"):
        parse("!!python/object/apply:os.getcwd []")
    with pytest.raises(InputError, match="expected dict"):
        parse("just text")


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'top-tagging'"):
        manifest("top-taging")
