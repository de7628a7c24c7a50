"""The generators of showers there are: one line each."""

from __future__ import annotations

from typing import Any

from hepml_nb.calo.base import ShowerModel
from hepml_nb.core import Method, Registry

__all__ = ["make", "method", "methods"]

_C = "hepml_nb.calo."
_METHODS: tuple[Method, ...] = (
    Method("library", _C + "library:Library", "JPCS 160 (2009) 012082", (), "Nearest showers of the training, scaled"),
    Method("gflash", _C + "parametrised:Gflash", "hep-ex/0001020", (), "Grindhammer and Peters' parametrisation"),
    Method("vae", _C + "vae:Vae", "2210.06204", ("S3",), "Variational autoencoder of layers and voxels"),
    Method("bib-ae", _C + "bib_ae:BibAe", "2005.05334", ("S1/43",), "Autoencoder that critics and MMD watch"),
    Method("wgan-gp", _C + "wgan:WGan", "2309.06515", ("S3",), "Wasserstein GAN with gradient penalty"),
    Method("expert-gan", _C + "expert_gan:ExpertGan", "2508.20991", ("S2/182", "S1/56"), "Routed GAN experts, diverse"),
    Method("caloinn", _C + "caloinn:CaloInn", "2312.09290", ("S0/73",), "Coupling flow of voxels, told the layers"),
    Method("caloflow", _C + "caloflow:CaloFlow", "2106.05285", ("S0/73",), "Autoregressive flow of voxels"),
    Method("caloflow-student", _C + "caloflow_student:CaloFlowStudent", "2110.11377", (), "Its map in one pass"),
    Method("calodream", _C + "calodream:CaloDream", "2405.09629", ("S0/73", "S2/119"), "Flow matching, layers first"),
    Method("calodiffusion", _C + "calodiffusion:CaloDiffusion", "2308.03876", (), "Diffusion around the axis"),
    Method("caloclouds", _C + "caloclouds:CaloClouds", "2309.05704", ("S0/44", "S0/83"), "Diffusion of single points"),
    Method("caloclouds-cm", _C + "caloclouds_cm:CaloCloudsCm", "2309.05704", ("S0/44",), "Its points in one step"),
    Method("epic-fm", _C + "epic:EpicFlowMatching", "2310.00049", ("S4",), "Flow matching of whole point clouds"),
)
_REGISTRY = Registry("generator of showers", _METHODS)


def methods() -> dict[str, Method]:
    """Return every registered method by name, simple ones first."""
    return dict(_REGISTRY.methods)


def method(name: str) -> Method:
    """Return one registered method; raise NotFound with the nearest name."""
    return _REGISTRY.method(name)


def make(name: str, config: Any = "small", **overrides: Any) -> ShowerModel:
    """Return a new, unfitted method: `core.Registry.make`."""
    made: ShowerModel = _REGISTRY.make(name, config, **overrides)
    return made
