"""Several job files in one submission: all or none, one group in MLflow, one list of results."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.runs import registry, submission
from tests.fake_cluster import NODE, FakeCluster
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


@pytest.fixture
def chain(tmp_path: Path) -> None:
    """Jobs that start from one another: final from middle, middle from tiny_a."""
    start = "start: {from: checkpoint, weights: "
    (tmp_path / "final.yaml").write_text(f"extends: tiny.yaml\nname: final\n{start}middle}}\n")
    (tmp_path / "middle.yaml").write_text(f"extends: tiny.yaml\nname: middle\n{start}tiny_a}}\n")


def test_a_job_comes_after_those_that_it_starts_from_and_names_their_new_runs(
    orch: Orch, cluster: FakeCluster, chain: None
) -> None:
    options = ("--address", cluster.url, "--json")
    assert orch("submit", "tiny_a.yaml", *options).exit_code == 0  # an earlier run of that name
    earlier = registry.find("tiny_a")
    files = ("final.yaml", "middle.yaml", "other.yaml", "tiny_a.yaml")
    done = orch("submit", *files, *options)
    assert done.exit_code == 0, done.stderr
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == [
        *("other", "tiny_a"),
        *("middle", "final"),
    ]
    now = {name: registry.find(name) for name in ("tiny_a", "middle", "final")}
    assert now["tiny_a"].run != earlier.run
    assert now["middle"].job["start"]["weights"] == now["tiny_a"].run_dir
    assert now["final"].job["start"]["weights"] == now["middle"].run_dir


def test_a_dry_run_says_which_runs_a_job_would_wait_for(
    orch: Orch, cluster: FakeCluster, chain: None
) -> None:
    submit = ("submit", "middle.yaml", "tiny_a.yaml", "--address", cluster.url, "--dry-run")
    first, second = json.loads(orch(*submit, "--json").stdout)["jobs"]
    assert (first["waits_for"], second["waits_for"]) == ([], ["tiny_a"])
    assert "would wait for tiny_a\n" in orch(*submit).stdout


def test_weights_that_are_still_to_be_trained_are_not_called_checked(
    orch: Orch, chain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_preflight", lambda *_: None)
    printed = orch("submit", "middle.yaml", "tiny_a.yaml", "--dry-run", "--json").stdout
    first, second = json.loads(printed)["jobs"]
    assert [*set(first["checked"]) - set(second["checked"])] == ["weights"]


def test_a_job_waits_for_a_run_that_still_goes_on_and_not_for_one_that_has_failed(
    orch: Orch, cluster: FakeCluster, chain: None
) -> None:
    options = ("--address", cluster.url, "--dry-run", "--json")
    orch("submit", "tiny_a.yaml", "--address", cluster.url, "--detach")
    run = registry.find("tiny_a").run
    assert json.loads(orch("submit", "middle.yaml", *options).stdout)["waits_for"] == [run]
    cluster.jobs[run].statuses = ["FAILED"]
    assert json.loads(orch("submit", "middle.yaml", *options).stdout)["waits_for"] == []


def test_a_run_that_goes_on_and_cannot_be_a_start_is_refused_before_it_is_waited_for(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    search = "search: {space: {method.p1: {choice: [0.1, 0.2]}}, metric: mean, trials: 2}\n"
    (tmp_path / "search.yaml").write_text(f"extends: tiny.yaml\nname: wide\n{search}")
    for file in ("search.yaml", "tiny_a.yaml"):
        orch("submit", file, "--address", cluster.url, "--detach")
    start = ("submit", "tiny.yaml", "--address", cluster.url, "--set")
    wide = orch(*start, "start={from: checkpoint, weights: wide}")
    assert (wide.exit_code, "is a search; a run starts from one run" in wide.stderr) == (2, True)
    quantized = orch(*start, "start={from: float, weights: tiny_a}")
    assert quantized.exit_code == 2
    assert "is trained by the method 'coquant', not 'float'" in quantized.stderr
    run = registry.find("tiny_a")
    run.folder.make()
    run.folder.result.write("{}")  # its job still sends metrics
    with FakeCluster() as other:
        other.nodes = [NODE | {"node_ip": "203.0.113.7"}]
        done = orch(*start[:3], other.url, "--set", "start={from: checkpoint, weights: tiny_a}")
        assert done.exit_code == 0, done.stderr


def test_a_start_from_another_network_is_refused_before_that_is_trained(
    orch: Orch, cluster: FakeCluster, chain: None, tmp_path: Path
) -> None:
    text = "extends: tiny.yaml\nname: unlike\nstart: {from: checkpoint, weights: tiny_a}\n"
    (tmp_path / "unlike.yaml").write_text(text + "model: {widths: [4, 6]}\n")
    options = ("--address", cluster.url, "--dry-run")
    refused = "start.weights: tiny_a will not do: these are the weights of another network: "
    along = orch("submit", "unlike.yaml", "tiny_a.yaml", "middle.yaml", *options)
    assert (along.exit_code, f"unlike.yaml: {refused}" in along.stderr) == (2, True)
    orch("submit", "tiny_a.yaml", "--address", cluster.url, "--detach")
    later = orch("submit", "unlike.yaml", *options)
    assert (later.exit_code, refused in later.stderr) == (2, True)
    assert orch("submit", "middle.yaml", *options).exit_code == 0


def test_a_name_that_no_run_has_is_refused_here_wherever_the_cluster_is(
    orch: Orch, cluster: FakeCluster
) -> None:
    cluster.nodes = [NODE | {"node_ip": "203.0.113.7"}]
    weights = "start={from: float, weights: imagenet_r18_flaot}"
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--set", weights)
    assert (done.exit_code, cluster.jobs) == (2, {})
    assert "no run called imagenet_r18_flaot" in done.stderr


def test_a_run_on_another_cluster_is_not_promised_to_be_waited_for(
    orch: Orch, cluster: FakeCluster, chain: None
) -> None:
    orch("submit", "tiny_a.yaml", "--address", cluster.url, "--detach")
    with FakeCluster() as other:
        done = orch("submit", "middle.yaml", "--address", other.url)
        assert (done.exit_code, other.jobs) == (2, {})
    assert "still goes on, on another cluster" in done.stderr
    assert orch("submit", "middle.yaml", "--address", cluster.url).exit_code == 0


def test_a_mistake_of_an_option_names_the_files_that_it_does_not_fit(
    orch: Orch, cluster: FakeCluster
) -> None:
    (Path("alone.yaml")).write_text(
        "extends: tiny.yaml\nname: alone\nmethod: {name: individual}\n"
        "quantizer: {bit_widths: [8]}\n"
    )
    files = ("tiny_a.yaml", "alone.yaml", "--address", cluster.url)
    done = orch("submit", *files, "--set", "quantizer.bit_widths=[8, 4]")
    assert done.exit_code == 2
    assert "So it is with alone.yaml." in done.stderr
    everywhere = orch("submit", *files, "--set", "seed=many").stderr
    assert everywhere.count("seed: expected") == 1
    assert "So it is" not in everywhere


def test_starts_that_cannot_be_are_named_before_anything_is_submitted(
    orch: Orch, cluster: FakeCluster, chain: None, tmp_path: Path
) -> None:
    start = "extends: tiny.yaml\nname: {}\nstart: {{from: {}, weights: {}}}\n"
    (tmp_path / "circle.yaml").write_text(start.format("tiny_a", "checkpoint", "final"))
    (tmp_path / "search.yaml").write_text(
        "extends: tiny.yaml\nname: other\n"
        "search: {space: {method.p1: {choice: [0.1, 0.2]}}, metric: mean, trials: 2}\n"
    )
    for name, source in (("floats", "float"), ("trial", "checkpoint")):
        of = "tiny_b" if name == "floats" else "other"
        (tmp_path / f"{name}.yaml").write_text(start.format(name, source, of))
    files = ("final.yaml", "middle.yaml", "circle.yaml", "tiny_b.yaml", "search.yaml")
    (tmp_path / "taught.yaml").write_text(
        "extends: tiny.yaml\nname: taught\nquantizer: {bit_widths: [4, 2]}\n"
        "method: {name: bitmixer, stage: 2, teacher: float, teacher_weights: other}\n"
    )
    files = (*files, "floats.yaml", "trial.yaml", "taught.yaml")
    done = orch("submit", *files, "--address", cluster.url)
    assert (done.exit_code, cluster.jobs) == (2, {})
    assert "No job of these can be the first: " in done.stderr
    assert "final starts from middle" in done.stderr
    assert "floats: start.weights: tiny_b will be trained by the method 'coquant'" in done.stderr
    assert "trial: start.weights: other is a search" in done.stderr
    assert "taught: method.teacher_weights: other is a search" in done.stderr
