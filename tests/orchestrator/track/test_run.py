"""The note in a run's folder of where it is recorded: as it was written, or as it has become."""

from pathlib import Path

import pytest

from orchestrator.store.run_folder import RunFolder
from orchestrator.track.run import TrackedRun, remember, remembered_run, remembered_status


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = TrackedRun("sqlite:////x.db", "1", "0" * 32)
    remember(RunFolder(tmp_path), run, "RUNNING")
    assert (remembered_run(RunFolder(tmp_path)), remembered_status(RunFolder(tmp_path))) == (
        run,
        "RUNNING",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"\0\0",
        b"\xff\xfe",
        b'{"uri": "sqlite:///x"}',
        b'{"uri": "sqlite:///x", "experiment_id": null, "run_id": 5, "status": []}',
    ],
)
def test_a_damaged_note_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow_run.json").write_bytes(content)
    assert (remembered_run(RunFolder(tmp_path)), remembered_status(RunFolder(tmp_path))) == (
        None,
        None,
    )
