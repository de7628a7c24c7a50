"""Every registered tagger keeps the promises that all taggers make."""

from __future__ import annotations

import pytest

from hepml_nb.tagging import methods
from hepml_nb.testing import TAGGER_CHECKS


@pytest.mark.parametrize("name", list(methods()))
@pytest.mark.parametrize("check", list(TAGGER_CHECKS))
def test_conformance(name: str, check: str):
    TAGGER_CHECKS[check](name)
