from pathlib import Path

import pytest

from orchestrator import handover
from orchestrator.errors import OrchError
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.entry import Config, train_function
from orchestrator.train.worker import Run


def test_a_worker_takes_up_the_secrets_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(handover.VARIABLE, str(tmp_path / "gone.json"))
    with pytest.raises(OrchError, match="secrets that were left for this job"):
        train_function(Config(job={}, run=Run(RunFolder(tmp_path))))
