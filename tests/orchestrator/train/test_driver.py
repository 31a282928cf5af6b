"""What a driver makes of the settings that an earlier attempt left."""

from pathlib import Path

import pytest

from orchestrator.store.run_folder import RunFolder
from orchestrator.train import driver


@pytest.mark.parametrize("content", [b"", b"a: [", b"- 1", b"\xff\xfe\x00"])
def test_damaged_settings_of_a_run_are_reported_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = RunFolder(tmp_path).job
    file.path.write_bytes(content)
    assert driver._kept_job(file) is None
    assert "was damaged and is rewritten" in capsys.readouterr().out
