import json
import math
import re

import pytest

from orchestrator.strict_json import dumps


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_numbers_that_are_not_finite_become_null_wherever_they_stand() -> None:
    value = {
        "loss": {"8bit": 0.5, "2bit": math.nan},
        "rows": [[math.inf, -math.inf], ("a", 1, None, True)],
    }
    for text in (dumps(value), dumps(value, indent=2)):
        assert json.loads(text, parse_constant=refuse) == {
            "loss": {"8bit": 0.5, "2bit": None},
            "rows": [[None, None], ["a", 1, None, True]],
        }
        assert not re.search("NaN|Infinity", text)


@pytest.mark.parametrize("value", [{}, [], "NaN", 0.1, {"a": {"b": [1e308]}}])
def test_everything_else_is_as_in_the_standard_library(value: object) -> None:
    assert dumps(value) == json.dumps(value)
