"""What a person finds in the job's log, and a program in the file beside it."""

import io
import json
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.events import Event, events_file, read, to_json, to_line
from orchestrator.run_facts import RunFacts, facts_file, facts_in
from orchestrator.train import job_log
from orchestrator.train.job_log import EventFile, JobLog
from tests.orchestrator.statements import EVALUATED, PROGRESS, SEARCHING, STARTED

REPOSITORY = Path(__file__).parents[3]


class Log:
    """A job's log in memory, and the file of its events."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / events_file("r")
        self.facts = folder / facts_file("r")
        self.text = io.StringIO()
        self.stream = JobLog(self.text, EventFile(folder, "r"))

    @property
    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()

    @property
    def events(self) -> list[Event]:
        found = map(read, self.path.read_text().splitlines())
        return [event for event in found if event]

    def say(self, event: Event, before: str = "") -> None:
        print(f"{before}{to_line(event)}", file=self.stream)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.parametrize("before", ["", "(RayTrainWorker pid=71) ", "(W pid=7, ip=10.0.0.2) "])
def test_an_event_is_a_sentence_in_the_log_and_json_in_the_file(log: Log, before: str) -> None:
    said = replace(EVALUATED, time=1e9)
    log.say(said, before)
    [line] = log.lines
    assert line.endswith("  epoch 1: top1 8bit 91.0")
    assert log.events == [replace(said, n=1)]


def test_the_log_of_a_driver_that_follows_another_counts_on(log: Log, tmp_path: Path) -> None:
    log.say(EVALUATED)
    again = Log(tmp_path)
    again.say(PROGRESS)
    assert [event.n for event in again.events] == [1, 2]
    assert facts_in(json.loads(log.facts.read_text())) == RunFacts().after(EVALUATED, PROGRESS)


def test_the_facts_so_far_are_in_a_file_of_their_own_without_those_of_trials(log: Log) -> None:
    print("no event", file=log.stream)
    assert not log.facts.exists()
    said = (STARTED, replace(PROGRESS, step=1), PROGRESS)
    for event in (*said, replace(EVALUATED, trial="t007")):
        log.say(event)
        kept = facts_in(json.loads(log.facts.read_text()))
    assert kept == RunFacts().after(*said)
    assert log.facts.read_text().endswith("}\n")


def test_a_run_goes_on_where_nothing_more_can_be_written(log: Log) -> None:
    log.say(STARTED)
    shutil.rmtree(log.path.parent)
    log.say(EVALUATED)
    assert log.lines[-1].endswith("epoch 1: top1 8bit 91.0")


def test_an_event_that_a_full_disk_cut_costs_no_other_one(log: Log, tmp_path: Path) -> None:
    log.say(EVALUATED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 10, limits[1]))
    try:
        log.say(replace(STARTED, run="cut"))
        log.say(replace(STARTED, run="not even begun"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.say(PROGRESS)
    with log.path.open("a") as file:
        file.write("{")  # a driver was killed
    Log(tmp_path).say(EVALUATED)
    said = [EVALUATED, PROGRESS, EVALUATED]
    assert log.events == [replace(event, n=n) for event, n in zip(said, (1, 3, 5), strict=True)]


def test_progress_is_rare_in_the_log_and_whole_in_the_file(log: Log) -> None:
    for _ in range(5):
        log.say(PROGRESS)
        log.say(EVALUATED)
    assert [" step 3/9 " in line for line in log.lines] == [True, *[False] * 5]
    assert [event.n for event in log.events] == list(range(1, 11))


def test_the_progress_of_each_trial_is_in_the_log(log: Log) -> None:
    for _ in range(2):
        for trial in ("t001", "t002"):
            log.say(replace(PROGRESS, trial=trial))
        log.say(SEARCHING)
    assert [line.split("  ")[1] for line in log.lines[:2]] == ["t001", "t002"]
    assert ["trials done" in line for line in log.lines] == [False, False, True]


def test_other_lines_stay_and_noise_does_not(log: Log) -> None:
    print("Traceback ...", file=log.stream)
    print("(T pid=1) ... Actor with class name: 'PreemptionWatcher' and ID: '6'", file=log.stream)
    print("::orch {broken", file=log.stream)
    assert log.lines == ["Traceback ...", "::orch {broken"]
    assert log.events == []


@pytest.mark.parametrize(
    "begin",
    [
        "Graceful shutdown of backend failed. This is expected if ...",
        "Error in control loop iteration: The worker group startup timed out after 60.0 seconds",
        f"Error in control loop iteration: {job_log.STOPPED_EARLY}",
    ],
)
def test_tracebacks_that_ray_expects_are_left_out(log: Log, begin: str) -> None:
    ray = "(TrainController pid=7) "
    said = [begin, "Traceback ...", "  x"]
    for line in [f"{ray}before", *(ray + text for text in said), "(raylet) after", f"{ray}later"]:
        print(line, file=log.stream)
    assert log.lines == [f"{ray}before", "(raylet) after", f"{ray}later"]


def test_a_line_may_come_in_pieces(log: Log) -> None:
    whole = f"one\n::orch {to_json(EVALUATED)}\ntwo\n"
    for letter in whole:
        log.stream.write(letter)
    assert [line[-4:] for line in log.lines] == ["one", "91.0", "two"]


def test_a_driver_finds_the_place_by_its_own_output(tmp_path: Path) -> None:
    program = (
        "import sys; from orchestrator import events; from orchestrator.train import job_log\n"
        "job_log.install()\n"
        "events.inform('hello'); print('to stderr', file=sys.stderr)"
    )
    log = tmp_path / "job-driver-digits-1.a2.log"
    with log.open("w") as out:
        subprocess.run(
            [sys.executable, "-c", program], stdout=out, stderr=out, cwd=REPOSITORY, check=True
        )
    assert log.read_text().splitlines()[0].endswith("  info: hello")
    assert log.read_text().splitlines()[1] == "to stderr"
    written = json.loads((tmp_path / "orch-events-digits-1.a2.jsonl").read_text())
    assert (written["event"], written["message"], written["n"]) == ("log", "hello", 1)


def test_elsewhere_the_events_stay_in_the_output() -> None:
    program = (
        "from orchestrator import events; from orchestrator.train import job_log\n"
        "job_log.install()\n"
        "events.inform('hello')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.startswith('::orch {"event": "log"')


def test_the_name_of_the_file_is_that_of_the_submission() -> None:
    assert job_log.events_file("digits-1") == "orch-events-digits-1.jsonl"
    assert facts_file("digits-1") == "orch-facts-digits-1.json"
