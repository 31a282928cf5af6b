from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import links
from orchestrator.cli.summary import as_dict
from orchestrator.runs.registry import Attempt, Record
from orchestrator.runs.view import RunView
from orchestrator.state import State


def seen(state: State, **fields: Any) -> RunView:
    record = Record(
        run="tiny-1",
        name="tiny",
        job={},
        job_file="tiny.yaml",
        address="http://127.0.0.1:8265",
        local=True,
        run_dir="/runs/tiny-1",
        attempts=(Attempt("tiny-1", 0.0),),
    )
    return RunView(record, state, **fields)


def test_beside_a_local_dashboard_stands_the_file_of_its_token_but_not_the_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    monkeypatch.setattr(links.local, "token_file", lambda: file)
    [page, token, *_] = links.link_lines(seen(State.RUNNING))
    assert page == "Ray dashboard: http://127.0.0.1:8265/#/jobs/tiny-1"
    assert token == f"  its token:   in {file}"
    assert "secret" not in str(as_dict(seen(State.RUNNING)))
