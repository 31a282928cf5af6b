"""What counts as caught: a test that fails, and nothing else."""

from pathlib import Path

import pytest

from tests.mutants.put_in import BUGS, Outcome, read_bugs, run_tests


@pytest.mark.parametrize(
    ("body", "seconds", "outcome"),
    [
        ("assert False", 60, Outcome(caught_by="test_it.py::test_it")),
        ("import time; time.sleep(60)", 1, Outcome(trouble="no end within 1 s")),
    ],
)
def test_only_a_test_that_fails_catches_a_bug(
    tmp_path: Path, body: str, seconds: int, outcome: Outcome
) -> None:
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    assert run_tests(tmp_path, ("test_it.py",), seconds) == outcome


def test_a_bug_that_nobody_knows_is_not_put_in() -> None:
    with pytest.raises(SystemExit, match=r"No bug and no part is called 'losing'\."):
        read_bugs(BUGS, ["sized", "losing"])
