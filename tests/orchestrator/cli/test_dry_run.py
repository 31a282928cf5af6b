"""A dry run beside the submission that it stands for."""

import json
from pathlib import Path

import pytest

from orchestrator.runs import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch


def test_a_dry_run_shows_the_arithmetic_and_starts_nothing(
    orch: Orch, cluster: FakeCluster
) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--dry-run")
    assert done.exit_code == 0
    assert "24 = 2 workers x 4 per pass x 3 accumulation" in done.stdout
    assert "5 workers cannot share a global batch of 24; 4 or 6 can." in done.stdout
    assert f"{cluster.url} (--address)" in done.stdout
    assert not any(asked.startswith(("POST", "PUT")) for asked in cluster.asked)
    assert registry.load_all() == []


def test_a_dry_run_shows_what_is_trained_in_each_phase(orch: Orch, cluster: FakeCluster) -> None:
    phases = "phases=[{quantizer: {bit_widths: [8, 4]}}, {training: {epochs: 7}}]"
    done = orch("submit", "tiny.yaml", "--set", phases, "--address", cluster.url, "--dry-run")
    assert done.exit_code == 0
    assert "phase 1/2     2 epochs, coquant at 8bit, 4bit, lr 0.05 (cosine)" in done.stdout
    assert "phase 2/2     7 epochs, coquant at 8bit, 6bit, 4bit, 2bit, lr 0.05" in done.stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), "nowhere"),
        (("output=tiny.yaml",), "is a file, not a folder"),
        (("start.from=float",), "no file is named"),
        (("cluster.loader_workers=999",), "cannot hold"),
        (("cluster.loader_workers=999", "output=tiny.yaml"), "cannot hold"),
    ],
)
def test_a_dry_run_refuses_all_that_submitting_refuses_in_the_same_words(
    orch: Orch, settings: tuple[str, ...], words: str
) -> None:
    options = [word for one in settings for word in ("--set", one)]
    dry, wet = (
        orch("submit", "tiny.yaml", *options, "--dry-run"),
        orch("submit", "tiny.yaml", *options),
    )
    assert dry.exit_code == wet.exit_code == 2
    assert words in wet.stderr
    assert dry.stderr == wet.stderr.split("samples and accumulation.")[-1]
    assert "would go to    a local Ray cluster" in dry.stdout
    answer = orch("submit", "tiny.yaml", *options, "--dry-run", "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["problem"]) == (2, dry.stderr.strip())
    assert "nowhere" in dry.stderr  # all that is wrong, whatever else is


def test_a_dry_run_against_a_cluster_that_does_not_answer_is_exit_code_three(orch: Orch) -> None:
    done = orch("submit", "tiny.yaml", "--address", "http://127.0.0.1:1", "--dry-run")
    assert done.exit_code == 3
    assert "http://127.0.0.1:1 does not answer" in done.stderr


def test_a_dry_run_says_that_no_record_could_be_kept(
    orch: Orch, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    for place, options in (
        ("file/orch", []),
        ("file/orch", ["--dry-run"]),
        ("link", ["--dry-run"]),
    ):
        monkeypatch.setenv("ORCH_HOME", str(tmp_path / place))
        done = orch("submit", "tiny.yaml", "--address", cluster.url, *options)
        assert done.exit_code == 2
        assert "orch cannot keep its records" in done.stderr
    assert cluster.packages == {}
