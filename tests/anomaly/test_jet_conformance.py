"""Every registered outlier method on jets keeps the promises that all of them make."""

from __future__ import annotations

import pytest

from hepml_nb.anomaly import jet_methods
from hepml_nb.testing import JET_OUTLIER_CHECKS


@pytest.mark.parametrize("name", list(jet_methods()))
@pytest.mark.parametrize("check", list(JET_OUTLIER_CHECKS))
def test_conformance(name: str, check: str):
    JET_OUTLIER_CHECKS[check](name)
