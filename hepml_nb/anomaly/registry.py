"""The anomaly methods there are: one line each."""

from __future__ import annotations

from typing import Any

from hepml_nb.anomaly.base import AnomalyMethod
from hepml_nb.anomaly.jets import JetOutlier
from hepml_nb.core import Method, Registry

__all__ = ["jet_method", "jet_methods", "make", "make_jet", "method", "methods"]

_A = "hepml_nb.anomaly."
_METHODS: tuple[Method, ...] = (
    Method("cwola", _A + "weak:Cwola", "1902.02634", ("S0/49",), "Window against sideband, told of no mass"),
    Method("idealised", _A + "weak:Idealised", "2109.00546", ("S0/49",), "Window against a perfect background"),
    Method("supervised", _A + "weak:Supervised", "2109.00546", (), "Simulated signal against simulated background"),
    Method(
        "supervised-cwola", _A + "weak:SupervisedCwola", "1708.02949", ("S0/69",), "Simulated signal against the data"
    ),
    Method("cathode", _A + "cathode:Cathode", "2109.00546", ("S0/49", "S0/98"), "A flow of the sideband, interpolated"),
    Method("cathode-fm", _A + "cathode:CathodeFlowMatching", "2310.06897", ("S0/49",), "The same with flow matching"),
    Method("anode", _A + "anode:Anode", "2001.04990", (), "Densities of window and sideband, their ratio"),
    Method("curtains", _A + "curtains:Curtains", "2203.09470", ("S1/6",), "Sideband events moved by optimal transport"),
    Method("transit", _A + "transit:Transit", "2503.04342", ("S0/60",), "Sideband events moved by an adversarial map"),
    Method("ranode", _A + "ranode:RAnode", "2312.11629", ("S4",), "A density of the signal alone, and its fraction"),
    Method("lacathode", _A + "lacathode:LaCathode", "2210.14924", (), "CATHODE in the latent space of its flow"),
    Method("pca", _A + "autoencoder:Pca", "2112.02864", ("S1/53",), "What principal components leave unreconstructed"),
    Method("autoencoder", _A + "autoencoder:Autoencoder", "2112.02864", ("S1/53",), "What a dense autoencoder leaves"),
    Method("vae", _A + "vae:Vae", "1811.10276", (), "Variational autoencoder: reconstruction, divergence or both"),
    Method("nae", _A + "nae:Nae", "2206.14225", ("S2/102",), "Autoencoder whose error is an energy, by its difference"),
    Method("wnae", _A + "nae:Wnae", "2510.02168", ("S2/102",), "The same, by the Wasserstein distance of its draws"),
    Method("deep-svdd", _A + "svdd:DeepSvdd", "ICML 2018, 4393", ("S0/19",), "Distance from the centre of a sphere"),
    Method("flow-likelihood", _A + "likelihood:FlowLikelihood", "2312.11618", ("S0/12",), "-log p(x) of a flow"),
    Method("funnel", _A + "funnel:Funnel", "2112.08069", ("S1/18",), "-log p(x) of a flow into fewer dimensions"),
    Method("latent-kernel", _A + "latent_kernel:LatentKernel", "2301.10780", ("S1/19",), "A kernel machine of latents"),
    Method("latent-quantum", _A + "latent_kernel:LatentQuantum", "2301.10780", ("S1/19",), "With a quantum kernel"),
)
_REGISTRY = Registry("anomaly method", _METHODS)

_JET_METHODS: tuple[Method, ...] = (
    Method("antelope", _A + "antelope:Antelope", "2408.17409", ("S0/22",), "What a signal model makes one look at"),
    Method("anti-qcd", _A + "anti_qcd:AntiQcd", "2201.07199", ("S1/34",), "Not QCD to a classifier of known jets"),
    Method(
        "evidential", _A + "evidential:Evidential", "2501.05656", ("S0/101",), "Little evidence for any known class"
    ),
    Method("graph-autoencoder", _A + "graphs:GraphAutoencoder", "2111.12849", ("S0/19",), "A jet, made of its vector"),
    Method("graph-svdd", _A + "graphs:GraphSvdd", "ICML 2018, 4393", ("S0/19",), "A jet's vector, far from a centre"),
    Method("lgae", _A + "lgae:Lgae", "2212.07347", ("S0/2",), "Autoencoder that commutes with boosts"),
    Method("next-token", _A + "next_token:NextToken", "2403.05618", ("S2/177",), "Surprise of the next particle"),
    Method("masked-token", _A + "next_token:MaskedToken", "2509.26218", ("S2/177",), "Surprise of a hidden particle"),
)
_JETS = Registry("outlier method on jets", _JET_METHODS)


def methods() -> dict[str, Method]:
    """Return every registered method by name, simple ones first."""
    return dict(_REGISTRY.methods)


def method(name: str) -> Method:
    """Return one registered method; raise NotFound with the nearest name."""
    return _REGISTRY.method(name)


def make(name: str, config: Any = "small", **overrides: Any) -> AnomalyMethod:
    """Return a new, unfitted method: `core.Registry.make`."""
    made: AnomalyMethod = _REGISTRY.make(name, config, **overrides)
    return made


def jet_methods() -> dict[str, Method]:
    """Return every registered outlier method on the particles of jets by name."""
    return dict(_JETS.methods)


def jet_method(name: str) -> Method:
    """Return one outlier method on jets; raise NotFound with the nearest name."""
    return _JETS.method(name)


def make_jet(name: str, config: Any = "small", **overrides: Any) -> JetOutlier:
    """Return a new outlier method on jets that has learnt nothing: `core.Registry.make`."""
    made: JetOutlier = _JETS.make(name, config, **overrides)
    return made
