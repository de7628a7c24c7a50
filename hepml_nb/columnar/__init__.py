"""Events to histograms, cutflows and arrays: coffea processors, one way to run them, and skims of jets.

Which processor gives which arrays (schemas are those of `data_manifests/schemas`):

    start       Dimuon            histogram of the pair's mass with variations        NanoAOD
    start       Dijets            the same of the two hardest jets                    NanoAOD, Delphes
    tagging     JetSkim           schema jets: constituents, substructure, labels     PFNano, Delphes
    anomaly     DijetFeatures     schema dijets: two jets with mass and tau1 to tau3  PFNano, Delphes, NanoAOD
    sbi         TauPairs          schema higgsml: lepton, hadronic tau, jets, MET     NanoAOD, Delphes
    unfolding   ZJets             schema zjets: Z and jet on both sides               PFNano, Delphes

Those of calo come from its recipe or from public files: no collision event holds the voxels of a shower. Flat ntuples
of records need no processor, as `adopt` takes them.
The recipes "nano" and "pfnano" simulate events that go through all of them:

    >>> from hepml_nb import columnar, simulate
    >>> from hepml_nb.simulate.nanoaod import write_root
    >>> events, _ = simulate.recipe("pfnano")(25, seed=1, process="zjets", mpi=False)
    >>> path = write_root("events.root", events)
    >>> spectrum = columnar.run(path, columnar.Dijets())["mass"]
    >>> muons = columnar.run(path, columnar.Dimuon())["cutflow"]
    >>> jets = columnar.run(path, columnar.JetSkim(), schema="pfnano")["jets"]
    >>> dijets = columnar.run(path, columnar.DijetFeatures(pt=100.0), schema="pfnano")["events"]
    >>> pairs = columnar.run(path, columnar.TauPairs())["events"]
    >>> z = columnar.run(path, columnar.ZJets(pt_z=150.0), schema="pfnano")["events"]
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
