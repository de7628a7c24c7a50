import json
import math

import numpy as np
import pytest

from hepml_nb.core import Claim, InputError, Result


def test_result_survives_json_and_loses_only_its_replicas():
    result = Result(0.94321, 0.0011, 5000, floor=1.0, baseline=0.85, seeds=3, replicas=np.ones((3, 10)), pairing="ab")
    again = Result.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == result
    assert again.replicas is None


def test_infinite_interval_becomes_null_in_json():
    data = Result(100.0, 10.0, 5, low=80.0, high=math.inf).to_dict()
    assert data["high"] is None
    assert json.dumps(data, allow_nan=False)


def test_text_gives_the_error_two_digits_and_the_value_the_same_place():
    assert str(Result(0.943217, 0.00113, 10)) == "0.9432 ± 0.0011"
    assert str(Result(412.3, 38.2, 10)) == "412 ± 38"
    assert str(Result(1.0, 0.0, 10)) == "1 ± 0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"error": -1.0}, "negative"),
        ({"better": "up"}, "'higher', 'lower' or 'target'"),
        ({"n": -1}, "counts"),
    ],
)
def test_bad_fields_are_named(change, words):
    with pytest.raises(InputError, match=words):
        Result(**{"value": 1.0, "error": 0.1, "n": 10} | change)


def test_unknown_field_is_named():
    with pytest.raises(InputError, match="no field"):
        Result.from_dict({"value": 1.0, "error": 0.1, "n": 3, "sigma": 2})


def test_claim_says_its_outcome_first():
    claim = Claim("the network beats the cut", "holds", 5.1, 0.02, 0.004)
    assert str(claim).startswith("holds: the network beats the cut")
    assert json.dumps(claim.to_dict())
