"""Several job files in one submission: all or none, one group in MLflow, one list of results."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.runs import registry, submission
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch


@pytest.fixture(autouse=True)
def other_files(tmp_path: Path) -> None:
    """Jobs beside tiny.yaml; one of them has a group of its own."""
    for name in ("tiny_a", "tiny_b", "other"):
        (tmp_path / f"{name}.yaml").write_text(f"extends: tiny.yaml\nname: {name}\n")
    (tmp_path / "own.yaml").write_text(
        "extends: tiny.yaml\nname: own\ntracking: {group: table_1}\n"
    )


def test_several_files_are_submitted_at_once_or_not_at_all(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text("extends: tiny.yaml\nseed: many\n")
    options = ("--address", cluster.url, "--json")
    refused = orch("submit", "tiny.yaml", "wrong.yaml", "absent.yaml", *options)
    assert (refused.exit_code, cluster.jobs) == (2, {})
    assert "seed: expected" in refused.stderr
    assert "absent.yaml" in refused.stderr
    assert orch("submit", "tiny.yaml", "other.yaml", "--name", "x", *options).exit_code == 2
    printed = json.loads(orch("submit", "tiny.yaml", "other.yaml", *options).stdout)["runs"]
    assert [run["name"] for run in printed] == ["tiny", "other"]


def groups_of(*names: str) -> list[str | None]:
    return [registry.find(name).job["tracking"]["group"] for name in names]


def test_jobs_that_are_submitted_together_are_one_group_called_by_what_their_names_share(
    orch: Orch, cluster: FakeCluster
) -> None:
    options = ("--address", cluster.url, "--detach", "--set", "seed=7")
    done = orch("submit", "tiny_a.yaml", "tiny_b.yaml", "own.yaml", *options)
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.split()) == 3
    *_, own = groups_of("tiny_a", "tiny_b", "own")
    assert own == "table_1"
    assert {registry.find(name).job["seed"] for name in ("tiny_a", "tiny_b", "own")} == {7}
    orch("submit", "tiny_a.yaml", "tiny_b.yaml", *options)
    first, second = groups_of("tiny_a", "tiny_b")
    assert first == second
    assert first is not None
    assert first.startswith("tiny-2")
    orch("submit", "other.yaml", "tiny_a.yaml", *options)
    assert str(groups_of("other")[0]).startswith("other_and_1_more-2")
    orch("submit", "other.yaml", *options)
    assert groups_of("other") == [None]
    orch("submit", "tiny.yaml", "--each-bit-width", *options)
    (individual,) = set(groups_of(*(f"tiny_{bits}bit" for bits in (8, 6, 4, 2))))
    assert str(individual).startswith("tiny-2")


def test_jobs_of_one_name_are_refused_together_with_all_other_mistakes(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "copy.yaml").write_text("extends: tiny_a.yaml\n")
    (tmp_path / "wrong.yaml").write_text("extends: tiny.yaml\nname: wrong\nseed: many\n")
    files = ("tiny_a.yaml", "copy.yaml", "wrong.yaml", "copy.yaml")
    done = orch("submit", *files, "--address", cluster.url)
    assert (done.exit_code, cluster.jobs) == (2, {})
    assert "tiny_a.yaml and copy.yaml: each is a job called 'tiny_a'" in done.stderr
    assert "copy.yaml: named more than once; once is enough." in done.stderr
    assert "seed: expected" in done.stderr


def test_a_dry_run_shows_all_files_and_submits_none(orch: Orch, cluster: FakeCluster) -> None:
    options = ("--address", cluster.url, "--dry-run", "--json")
    printed = json.loads(orch("submit", "tiny_a.yaml", "other.yaml", *options).stdout)
    assert [one["job"]["name"] for one in printed["jobs"]] == ["tiny_a", "other"]
    assert registry.load_all() == []


def test_after_a_lost_cluster_one_reads_which_jobs_are_already_on_their_way(
    orch: Orch, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = submission.submit

    def lost_at_the_second(record: registry.Record, *rest: object) -> registry.Record:
        if record.name == "tiny_b":
            raise Unreachable("the cluster is gone")
        return submit(record, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(submission, "submit", lost_at_the_second)
    done = orch("submit", "tiny_a.yaml", "tiny_b.yaml", "--address", cluster.url, "--json")
    assert done.exit_code == 3
    assert f"Already submitted: {registry.find('last').run}." in done.stderr
    assert [record.name for record in registry.load_all()] == ["tiny_a"]
