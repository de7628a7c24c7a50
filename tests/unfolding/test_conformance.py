"""Every registered unfolding method keeps the promises that all of them make."""

from __future__ import annotations

import pytest

from hepml_nb.testing import UNFOLDER_CHECKS
from hepml_nb.unfolding import methods


@pytest.mark.parametrize("name", list(methods()))
@pytest.mark.parametrize("check", list(UNFOLDER_CHECKS))
def test_conformance(name: str, check: str):
    UNFOLDER_CHECKS[check](name)
