"""The part of FastJet's Python interface that hepml_nb uses (fastjet 3.5); arrays are awkward arrays."""

from typing import Any

kt_algorithm: int
cambridge_algorithm: int
antikt_algorithm: int
ee_kt_algorithm: int

class JetDefinition:
    def __init__(self, algorithm: int, R: float, /) -> None: ...

class JetDefinition0Param(JetDefinition):
    def __init__(self, algorithm: int, /) -> None: ...

class ClusterSequence:
    def __init__(self, particles: Any, definition: JetDefinition, /) -> None: ...
    def inclusive_jets(self, min_pt: float = ...) -> Any: ...
    def constituents(self, min_pt: float = ...) -> Any: ...
    def constituent_index(self, min_pt: float = ...) -> Any: ...
    def exclusive_jets(self, n_jets: int = ..., dcut: float = ...) -> Any: ...
    def exclusive_jets_softdrop_grooming(
        self,
        njets: int = ...,
        beta: float = ...,
        symmetry_cut: float = ...,
        symmetry_measure: str = ...,
        R0: float = ...,
        recursion_choice: str = ...,
    ) -> Any: ...
    def exclusive_jets_energy_correlator(
        self,
        njets: int = ...,
        n_point: int = ...,
        angles: int = ...,
        alpha: float = ...,
        beta: float = ...,
        func: str = ...,
        normalized: bool = ...,
        npoint: int = ...,
    ) -> Any: ...
    def exclusive_jets_lund_declusterings(self, njets: int = ...) -> Any: ...
    def njettiness(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

class ClusterSequenceArea:
    @staticmethod
    def set_fastjet_banner_stream(stream: None, /) -> None: ...
