"""Every registered generator of showers keeps the promises that all of them make."""

from __future__ import annotations

import pytest

from hepml_nb.calo import methods
from hepml_nb.testing import SHOWER_CHECKS


@pytest.mark.parametrize("name", list(methods()))
@pytest.mark.parametrize("check", list(SHOWER_CHECKS))
def test_conformance(name: str, check: str):
    SHOWER_CHECKS[check](name)
