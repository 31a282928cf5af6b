"""What an epoch takes, from the folders of former runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.runs import registry
from orchestrator.runs.measured import Measured, measured
from orchestrator.runs.registry import Record
from orchestrator.typed_json import Values
from tests.orchestrator import journals

Make = Callable[..., Record]

JOB: Values = {
    "name": "digits",
    "method": {"name": "coquant", "lambda": 0.1},
    "training": {"epochs": 3, "global_batch": 8},
    "cluster": {"num_workers": 2, "max_failures": 3},
}


def changed(**sections: object) -> Values:
    return {**JOB, **sections}


def write(folder: Path, *ends: tuple[int, float]) -> None:
    """Write the metrics of a run: the epochs, and the seconds at which they ended."""
    folder.mkdir(parents=True)
    lines = [
        {"step": epoch, "time_ms": int(at * 1000), "metrics": {"epoch": epoch}}
        for epoch, at in ends
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in [*lines, {"step": 1}, ["odd"]])
    (folder / "metrics.jsonl").write_text(text)


@pytest.fixture
def run(make_record: Make) -> Record:
    """A run of the job on the local head: epochs of 10 s, and a restart before the last."""
    record = make_record("digits-1", job=changed(name="other"), local=True)
    registry.save(record)
    write(Path(record.folder.place), (1, 0.0), (2, 10.0), (3, 20.0), (4, 500.0))
    return record


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("job", "searched"),
    [
        (JOB, ()),
        (changed(optimizer={"lr": 3}), ()),
        (changed(training={"epochs": 90, "global_batch": 8}), ()),
        (changed(method={"name": "coquant", "lambda": 5}), ("method.lambda",)),
    ],
)
def test_a_former_run_of_the_same_job_tells_the_time_of_an_epoch(
    job: Values, searched: tuple[str, ...]
) -> None:
    assert measured(job, searched, None) == Measured("digits-1", 10.0)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("job", "url"),
    [
        (changed(training={"epochs": 3, "global_batch": 16}), None),
        (changed(method={"name": "joint", "lambda": 0.1}), None),
        (changed(cluster={"num_workers": 4, "max_failures": 3}), None),
        (JOB, "http://10.0.0.5:8265"),
    ],
)
def test_a_run_of_another_job_or_elsewhere_tells_nothing(job: Values, url: str | None) -> None:
    assert measured(job, (), url) is None


def test_a_run_without_two_epochs_is_passed_over(run: Record, make_record: Make) -> None:
    later = make_record("digits-2", 9.0, job=JOB, local=True)
    registry.save(later)
    write(Path(later.folder.place), (1, 0.0))
    assert measured(JOB, (), None) == Measured("digits-1", 10.0)


def test_the_trials_of_a_search_tell_it_as_well(make_record: Make) -> None:
    url = "http://10.0.0.5:8265"
    search = make_record("digits-3", job=changed(search=journals.SEARCH), address=url)
    registry.save(search)
    for number, seconds in enumerate((7.0, 8.0, 9.0), start=1):
        write(Path(search.search_folder.of_run(f"t00{number}").place), (1, 0.0), (2, seconds))
    assert measured(JOB, ("method.lambda",), url) == Measured("digits-3", 8.0)
