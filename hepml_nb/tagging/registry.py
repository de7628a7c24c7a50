"""The taggers there are: one line each."""

from __future__ import annotations

from typing import Any

from hepml_nb import core
from hepml_nb.tagging.base import Tagger

__all__ = ["Method", "make", "method", "methods", "multi_methods"]


class Method(core.Method):
    """A registered tagger."""

    @property
    def cls(self) -> type[Tagger]:
        """The class; its module is imported now."""
        found: type[Tagger] = super().cls
        return found


_T = "hepml_nb.tagging."
_METHODS = (
    Method("cut", _T + "cut:Cut", "1011.2268", (), "the best single observable, one-sided or in a window"),
    Method("fisher", _T + "fisher:Fisher", "Fisher 1936", ("S0/8",), "linear discriminant of the observables"),
    Method(
        "trees", _T + "trees:Trees", "physics/0408124", ("S0/8", "S2/146"), "boosted decision trees on the observables"
    ),
    Method("dnn", _T + "dnn:DNN", "1402.4735", ("S0/8", "S1/22"), "dense network on the observables"),
    Method("pfn", _T + "pfn:PFN", "1810.05165", ("S0/8", "S0/22"), "Particle Flow Network: a sum over particles"),
    Method("efp", _T + "efp:EFP", "1712.07124", ("S0/8",), "linear discriminant of energy flow polynomials"),
    Method("efn", _T + "efn:EFN", "1810.05165", ("S0/8",), "energy-weighted sum over particles"),
    Method("irc-mpn", _T + "irc_mpn:IRCMPN", "2109.14636", ("S1/1",), "energy-weighted messages between neighbours"),
    Method(
        "phase-space", _T + "phase_space:PhaseSpaceKNN", "2405.16698", ("S0/3",), "nearest neighbours in phase space"
    ),
    Method("image-cnn", _T + "image_cnn:ImageCNN", "1803.00107", (), "convolutions on jet images"),
    Method("vit", _T + "vit:ViT", "2010.11929", ("S2/110",), "vision transformer on jet images"),
    Method("mixer", _T + "mixer:Mixer", "2404.14677", ("S0/6",), "mixer over particles that looks at subjets"),
    Method("lundnet", _T + "lundnet:LundNet", "2012.08526", ("S1/37", "S1/38"), "messages along the tree of the jet"),
    Method(
        "particlenet",
        _T + "particlenet:ParticleNet",
        "1902.08570",
        ("S1/29", "S1/37"),
        "convolutions on dynamic graphs",
    ),
    Method("part-plain", _T + "part:PlainTransformer", "2202.03772", ("S1/29",), "transformer without pair features"),
    Method(
        "part", _T + "part:ParT", "2202.03772", ("S1/29", "S0/33"), "Particle Transformer: attention told by the pairs"
    ),
    Method("moe", _T + "moe:MGT", "2501.03432", ("S2/79",), "graph transformer with a mixture of experts"),
    Method(
        "lorentznet", _T + "lorentznet:LorentzNet", "2201.08187", ("S0/33",), "messages weighted by Minkowski products"
    ),
    Method(
        "pelican", _T + "pelican:Pelican", "2307.16506", ("S0/33",), "all permutation-equivariant maps of pair products"
    ),
    Method("l-gatr", _T + "l_gatr:LGatrTagger", "2405.14806", ("S0/47", "S2/154"), "transformer on space-time algebra"),
    Method(
        "boostnet", _T + "boostnet:BoostNet", "2410.18553", ("S2/22",), "messages that respect boosts along the beam"
    ),
)
_MULTI = (
    Method("gn2", _T + "gn2:GN2", "2505.19689", ("S2/104", "S0/89", "S0/115"), "transformer with auxiliary tasks"),
    Method("feature-set", _T + "missing:FeatureSet", "2401.01905", ("S2/11",), "attention over the inputs there are"),
)
_REGISTRY = core.Registry("tagger", (*_METHODS, *_MULTI))


def methods() -> dict[str, Method]:
    """Return every registered tagger of signal against background by name, simple ones first."""
    return {m.name: m for m in _METHODS}


def multi_methods() -> dict[str, Method]:
    """Return every registered tagger of many classes by name; `make` and `Tagger.load` know them too."""
    return {m.name: m for m in _MULTI}


def method(name: str) -> Method:
    """Return one registered tagger, of two or of many classes; raise NotFound with the nearest name."""
    return _REGISTRY.method(name)


def make(name: str, config: Any = "small", **overrides: Any) -> Tagger:
    """Return a new, unfitted tagger.

    config: "small", "paper", a configuration object of the method or a dict of changes to "small".
    overrides: changed settings, those of the training (epochs, lr, batch_size, ...) included.
    Raises NotFound for an unknown name, InputError for an unknown configuration or setting.
    """
    made: Tagger = _REGISTRY.make(name, config, **overrides)
    return made
