"""What the driver makes of the files that earlier attempts and the workers left."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFailed
from orchestrator.train import launch


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"rows": []}', b"\xff\xfe"])
def test_a_damaged_result_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(content)
    with pytest.raises(JobFailed, match=r"result\.json is damaged. Remove it; `orch resume`"):
        launch._told(file, "table")


@pytest.mark.parametrize("content", [b"", b"a: [", b"- 1", b"\xff\xfe\x00"])
def test_damaged_settings_of_a_run_are_told_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    assert launch._kept_job(file) is None
    assert "was damaged and is written anew" in capsys.readouterr().out
