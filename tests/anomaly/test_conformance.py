"""Every registered anomaly method keeps the promises that all of them make."""

from __future__ import annotations

import pytest

from hepml_nb.anomaly import methods
from hepml_nb.testing import DETECTOR_CHECKS


@pytest.mark.parametrize("name", list(methods()))
@pytest.mark.parametrize("check", list(DETECTOR_CHECKS))
def test_conformance(name: str, check: str):
    DETECTOR_CHECKS[check](name)
