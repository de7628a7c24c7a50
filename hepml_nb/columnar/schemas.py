"""Layouts of event files that we read: NanoAOD, PFNano, Delphes and flat ntuples, without coffea's warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from coffea.nanoevents import BaseSchema, DelphesSchema, NanoAODSchema, PFNanoAODSchema

__all__ = [
    "EVENT_IDS",
    "SCHEMAS",
    "Delphes",
    "Flat",
    "NanoAOD",
    "PFNano",
    "SchemaName",
    "default_tree",
    "layout",
    "whole_vectors",
]

SchemaName = Literal["nanoaod", "pfnano", "delphes", "flat"]
EVENT_IDS = ("run", "luminosityBlock", "event")
"""Without these the NanoAOD schemas refuse a file."""


_CHARGED = ("Electron", "LowPtElectron", "Muon", "Tau", "PFCand", "GenVisTau", "FsrPhoton")


def whole_vectors(mixins: Mapping[str, str], given: Mapping[str, Any], branches: set[str]) -> dict[str, str]:
    """Return the classes of collections but for those that miss the mass or charge which their class insists on.

    coffea refuses a whole collection of which a file (or what is read of it) has only pt, eta and phi; without a class
    its columns can be used. `given` are columns that the schema fills in.
    """

    def whole(name: str, kind: str) -> bool:
        if not branches.issuperset(f"{name}_{column}" for column in ("pt", "eta", "phi")):
            return True
        needed = [f"{name}_mass", *([f"{name}_charge"] if kind in _CHARGED else [])]
        return all(column in branches or column in given for column in needed)

    return {name: kind for name, kind in mixins.items() if whole(name, kind)}


# The switches are class attributes because workers import the class: an attribute set in a notebook stays in it.
class NanoAOD(NanoAODSchema):  # type: ignore[misc]
    """Collections named `Muon_pt`, counted by `nMuon`; trees with fewer collections than CMS's are fine."""

    mixins: dict[str, str] = NanoAODSchema.mixins
    warn_missing_crossrefs = False

    def __init__(self, base_form: Any, version: str = "latest") -> None:
        self.mixins = whole_vectors(self.mixins, self.full_like_items, set(base_form["fields"]))
        super().__init__(base_form, version)


class PFNano(PFNanoAODSchema):  # type: ignore[misc]
    """NanoAOD with particle-flow candidates and the lists that say in which jet they are."""

    mixins: dict[str, str] = PFNanoAODSchema.mixins
    warn_missing_crossrefs = False

    def __init__(self, base_form: Any, version: str = "latest") -> None:
        self.mixins = whole_vectors(self.mixins, self.full_like_items, set(base_form["fields"]))
        super().__init__(base_form, version)


class Delphes(DelphesSchema):  # type: ignore[misc]
    """Collections named `Jet/Jet.PT`, counted by `Jet_size`."""

    warn_missing_crossrefs = False


class Flat(BaseSchema):  # type: ignore[misc]
    """Every branch under its own name."""


SCHEMAS: dict[str, Any] = {"nanoaod": NanoAOD, "pfnano": PFNano, "delphes": Delphes, "flat": Flat}


def default_tree(schema: str) -> str:
    """Return the usual name of the tree of a schema."""
    return "Delphes" if schema == "delphes" else "Events"


def layout(branches: set[str]) -> SchemaName:
    """Return the schema that fits a tree with these branches (as uproot names them)."""
    if "Event_size" in branches or {"Jet", "Jet_size"} <= branches:
        return "delphes"
    if not branches.issuperset(EVENT_IDS):
        return "flat"
    return "pfnano" if any(name.endswith("PFCands_pFCandsIdx") for name in branches) else "nanoaod"
