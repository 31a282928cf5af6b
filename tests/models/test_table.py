import collections

import pytest

from models.table import resolve


def test_a_name_gives_the_attribute_of_its_module() -> None:
    assert resolve({"ordered": "collections:OrderedDict"}, "ordered") is collections.OrderedDict


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'c'; known are a, b"):
        resolve({"a": "x:y", "b": "x:z"}, "c")
