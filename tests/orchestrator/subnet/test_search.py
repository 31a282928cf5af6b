"""Independent: the sum of bits, an evaluation of the pasted assignment, and the command's files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save

from orchestrator.cli.main import cli
from orchestrator.errors import UsageError
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.prepare.datasets import open_datasets
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from orchestrator.store.run_folder import WEIGHTS, RunFolder
from orchestrator.subnet.search import Asked, find_subnets
from orchestrator.train.evaluate import evaluate
from orchestrator.train.ranks import Ranks
from orchestrator.train.state import load_weights

Finished = Callable[..., tuple[Job, Path]]


def test_sub_nets_have_the_bits_that_were_asked_for_and_the_results_of_their_assignment(
    finished: Finished,
) -> None:
    job, folder = finished()
    told: dict[str, list[float]] = {}
    found = find_subnets(
        job,
        RunFolder(folder),
        Asked(3, 3, 16),
        lambda what, share: told.setdefault(what, []).append(share),
    )
    assert [shares[-1] for shares in told.values()] == [1, 1]
    assert all(shares == sorted(shares) for shares in told.values())
    assert [len(found.of(kind)) for kind in ("best", "random")] == [3, 3]
    scores = [one.score for one in found.of("best")]
    assert scores == sorted(scores, reverse=True)
    assert all(one.score <= scores[0] for one in found.of("random"))
    assert found.total_bits == 3 * len(found.sensitivities)
    for one in found.subnets:
        bits = [int(label.removesuffix("bit")) for label in one.precisions]
        assert sum(bits) == found.total_bits
        values = found.sensitivities.values()
        assert one.score == pytest.approx(sum(b * v for b, v in zip(bits, values, strict=True)))
    assignment = {"subnet": found.assignment(found.winner)}
    quantizer = job.quantizer.model_validate(
        job.quantizer.model_dump() | {"assignment": assignment}
    )
    train_set, val_set = open_datasets(job)
    network = build_network(job, train_set.num_classes)
    load_weights(RunFolder(folder).checkpoints()[-1], network)
    (point,) = (point for point in quantizer.points if point.name == "subnet")
    (row,) = evaluate(network, [point], val_set, Ranks(), batch=4).rows
    assert row.metric == found.winner.metric
    assert row.loss == pytest.approx(found.winner.loss, rel=1e-4)


def test_the_command_prints_the_best_assignment_and_writes_tables_and_figures(
    finished: Finished, make_record: Callable[..., Record], tmp_path: Path
) -> None:
    job, folder = finished("quantizer.bit_widths=[4, 2]")
    registry.save(make_record("tiny-1", name="tiny", job=job.as_dict(), run_dir=str(folder)))
    asked = ("subnet", "tiny", "--average-bits", "3.2", "--top", "2", "--images", "8")
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    assert "Mean of the best: " in done.stdout
    pasted = yaml.safe_load(done.stdout[done.stdout.index("quantizer:") :])
    assert pasted["quantizer"]["assignment"]["subnet"]["default"] == "4bit"
    heads, *rows = csv.reader((folder / "subnet" / "subnets.csv").read_text().splitlines())
    assert heads[:4] == ["subnet", "score", "top1", "loss"]
    assert [row[0] for row in rows] == ["best-1", "best-2", "random-1", "random-2"]
    for name in ("subnets", "sensitivity"):
        assert (folder / "subnet" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(cli, [*asked, "--json", "--output", str(tmp_path / "elsewhere")])
    answer = json.loads(again.stdout)
    assert answer["assignment"] == pasted["quantizer"]["assignment"]["subnet"]
    assert set(answer["sensitivities"]) == set(heads[4:])
    assert (tmp_path / "elsewhere" / "subnets.csv").is_file()


def test_a_run_in_a_bucket_needs_a_folder_for_its_figures(
    make_record: Callable[..., Record],
) -> None:
    registry.save(make_record("tiny-1", name="tiny", run_dir="s3://models/runs/tiny-1"))
    done = CliRunner().invoke(cli, ("subnet", "tiny", "--average-bits", "3"))
    assert done.exit_code == 2
    assert "s3://models/runs/tiny-1; name a folder for tables and figures" in done.output


def test_settings_that_are_no_job_here_are_said_in_a_line(
    make_record: Callable[..., Record], tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = tiny_job().as_dict()
    gone = job | {"code": str(tmp_path / "gone"), "method": {"name": "own:Method"}}
    for settings, problem in (
        (gone, "own"),
        (job | {"optimizer": {}}, "optimizer.lr"),
        ({"name": "tiny"}, "The record of tiny-1 is damaged"),
    ):
        registry.save(make_record("tiny-1", name="tiny", job=settings))
        done = CliRunner().invoke(cli, ("subnet", "tiny", "--average-bits", "3"))
        assert (done.exit_code, problem in done.output) == (2, True), done.output


def test_a_run_that_ended_before_it_began_is_named_as_such(
    make_record: Callable[..., Record], tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    run = make_record("tiny-1", name="tiny", job=tiny_job().as_dict())
    registry.save(run)
    output = ("--output", str(tmp_path / "figures"))
    done = CliRunner().invoke(cli, ("subnet", "tiny", "--average-bits", "3.2", *output))
    assert done.exit_code == 2
    assert f"Nothing of tiny-1 is in {run.run_dir}" in done.output


def test_a_folder_that_cannot_be_made_is_refused_before_the_search(
    make_record: Callable[..., Record], tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    registry.save(make_record("tiny-1", name="tiny", job=tiny_job().as_dict()))
    (tmp_path / "file").touch()
    output = ("--output", str(tmp_path / "file" / "below"))
    done = CliRunner().invoke(cli, ("subnet", "tiny", "--average-bits", "3", *output))
    assert (done.exit_code, "below cannot be made (Not a directory)" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("bit_widths", "average", "problem"),
    [
        ("[4, 2]", 4.6, r"5 layers add up to 23 bits; the nearest average that can be had is 4\."),
        ("[4, 2]", 3, r"5 layers add up to 15 bits; the nearest .* had is 2.8 or 3.2\."),
        ("[4]", 3, "tiny-1 was trained at one bit-width; sub-nets mix two or more"),
        (
            "[w32a4, w32a2]",
            3,
            "tiny-1 was trained with float weights alone; sub-nets mix bit-widths",
        ),
        ("[4, 3, w1a2]", 1.7, r"5 layers add up to 8.5 bits; the nearest .* had is 1.5 or 1.8\."),
        ("[4, w4a2, w2a4]", 3, "trained at w4a2 and w2a4, which have as many bits"),
    ],
)
def test_a_run_without_such_sub_nets_is_refused(
    tiny_job: Callable[..., Job], tmp_path: Path, bit_widths: str, average: float, problem: str
) -> None:
    method = "method={name: individual}" if bit_widths == "[4]" else "method={name: adabits}"
    job = tiny_job(method, f"quantizer.bit_widths={bit_widths}")
    with pytest.raises(UsageError, match=problem):
        find_subnets(job, RunFolder(tmp_path / "tiny-1"), Asked(average, 2, 8), lambda *_: None)


def test_a_run_that_has_diverged_is_refused_with_its_layers(finished: Finished) -> None:
    job, folder = finished()
    weights = RunFolder(folder).checkpoints()[-1] / WEIGHTS
    lost = {name: value.clone() for name, value in load_file(str(weights)).items()}
    next(value for name, value in lost.items() if name.endswith("conv1.weight")).fill_(float("nan"))
    Path(str(weights)).write_bytes(save(lost))
    with pytest.raises(UsageError, match=r"not finite in 5 of 5 layers \(.*, \.\.\.\)"):
        find_subnets(job, RunFolder(folder), Asked(3, 2, 8), lambda *_: None)


@pytest.mark.parametrize(
    ("bits", "problem"),
    [
        (
            "default: w1a4, layer1.0.conv1: 8",
            r"trained at an assignment alone \(mix\); sub-nets mix",
        ),
        ("default: w32a4, layer1.0.conv1: w32a8", "trained with float weights alone"),
        ("default: 4", "trained at one bit-width"),
    ],
)
def test_a_run_at_an_assignment_alone_is_called_what_it_is(
    tiny_job: Callable[..., Job], tmp_path: Path, bits: str, problem: str
) -> None:
    quantizer = f"quantizer={{bit_widths: [], assignment: {{mix: {{{bits}}}}}}}"
    job = tiny_job("method={name: individual}", quantizer)
    with pytest.raises(UsageError, match=f"tiny-1 was {problem}"):
        find_subnets(job, RunFolder(tmp_path / "tiny-1"), Asked(3, 2, 8), lambda *_: None)
