from fnmatch import fnmatch

import pytest

from orchestrator.rank_file import RankFile, file_name, parse, pattern

SAID = RankFile(
    run="digits-1",
    rank=1,
    world=2,
    pid=71,
    thread=140,
    code="/code",
    output=("worker-a.out", "worker-a.err"),
    began=1.0,
    seen=2.0,
    next_within=2.0,
)


def test_what_a_rank_says_is_read_back_with_its_stacks() -> None:
    stacks = 'Thread 0x8c (most recent call first):\n  File "a.py", line 1 in f\n'
    found = parse(SAID.head + stacks)
    assert found is not None
    assert (found.head, found.stacks) == (SAID.head, stacks)
    assert (found.output, found.rank) == (SAID.output, 1)


@pytest.mark.parametrize("text", ["", "{}", "{half", "Thread 0x1\n", SAID.head[:-9]])
def test_a_file_that_is_damaged_says_nothing(text: str) -> None:
    assert parse(text) is None


def test_the_names_of_a_run_match_its_pattern() -> None:
    assert fnmatch(file_name("digits-1", 71), pattern("digits-1"))
    assert not fnmatch(file_name("digits-2", 71), pattern("digits-1"))
