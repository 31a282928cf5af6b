"""Job files, each of which is read once."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache

import pytest

from orchestrator.job import merge


@pytest.fixture(scope="module", autouse=True)
def each_file_is_read_once() -> Iterator[None]:
    """Most of the time goes into the files that jobs have in common; jobs change what they read."""
    once = cache(merge.read_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "read_file", lambda *which: deepcopy(once(*which)))
        yield
