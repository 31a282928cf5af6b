"""Events as a job's processes print them, as Ray passes them on, and as others read them."""

import json
import threading
import time
from dataclasses import replace

import pytest

from orchestrator import events
from orchestrator.events import Event, Failed, Log, Restarted, Stopped
from tests.orchestrator.statements import (
    ARITHMETIC,
    EVALUATED,
    EVENTS,
    FINISHED,
    PROGRESS,
    SEARCHED,
    SEARCHING,
    STARTED,
    TRIAL_ENDED,
)

EVERY_KIND: list[Event] = [
    *EVENTS,
    ARITHMETIC,
    Restarted(count=2, reason="Killed."),
    Failed(message="lost", exit_code=1),
    Stopped(message="saved"),
    SEARCHING,
    TRIAL_ENDED,
    SEARCHED,
    replace(PROGRESS, trial="t007s1"),
]


@pytest.mark.parametrize("event", EVERY_KIND, ids=events.word)
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "(RayTrainWorker pid=71) ",
        "\x1b[36m(RayTrainWorker pid=71, ip=10.0.0.2)\x1b[0m ",
    ],
)
def test_an_event_is_read_as_it_was_printed_behind_whatever_ray_sets_before_it(
    event: Event, prefix: str
) -> None:
    said = replace(event, time=7.5)
    assert events.parse(f"{prefix}{events.to_line(said)}\n") == said


def test_what_other_programs_read_is_flat_and_named_by_the_kind() -> None:
    values = json.loads(events.to_json(replace(EVALUATED, n=3)))
    assert values == {
        "event": "evaluated",
        "time": None,
        "epoch": 0,
        "epochs": 2,
        "metric_name": "top1",
        "metric": {"8bit": 91.0},
        "loss": {"8bit": 0.1},
        "phase": 0,
        "phases": 1,
        "n": 3,
        "trial": None,
    }
    assert json.loads(events.to_json(FINISHED))["rows"][0]["point"] == "8bit"


def test_points_stay_in_their_order() -> None:
    metric: events.PointValues = {"w1a4": 1.0, "8bit": 2.0, "mixed": None, "2bit": 3.0}
    again = events.parse(events.to_line(replace(EVALUATED, metric=metric)))
    assert isinstance(again, events.Evaluated)
    assert list(again.metric.items()) == list(metric.items())


def test_a_number_that_is_none_is_null() -> None:
    again = events.parse(events.to_line(replace(PROGRESS, loss={"8bit": float("nan")})))
    assert again == replace(PROGRESS, loss={"8bit": None})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3",
        "::orch {broken",
        "::orch {}",
        '::orch ["event"]',
        '::orch {"event": ["failed"]}',
        '::orch {"event": "paused"}',
        '::orch {"event": "failed"}',
        '::orch {"event": "failed", "message": "x", "exit_code": "one"}',
        '::orch {"event": "stopped", "message": ["x"]}',
        '::orch {"event": "stopped", "message": "x", "n": "one"}',
        'he said ::orch {"event": "stopped", "message": "x"}',
        f"::orch {'[' * 100_000}",
    ],
)
def test_other_lines_and_rubbish_are_no_events(line: str) -> None:
    assert events.parse(line) is None


def test_what_only_a_newer_version_knows_of_an_event_is_passed_over() -> None:
    values = json.loads(events.to_json(STARTED)) | {"color": "blue"}
    values["mlflow"]["shade"] = "dark"
    assert events.read(json.dumps(values)) == STARTED


def test_an_event_that_is_said_is_one_line_with_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = events.say(PROGRESS)
    events.warn("careful")
    lines = capsys.readouterr().out.splitlines()
    assert events.parse(lines[0]) == said
    assert abs(time.time() - (said.time or 0)) < 60
    warning = events.parse(lines[1])
    assert isinstance(warning, Log)
    assert (warning.level, warning.message) == ("warning", "careful")


def test_what_is_said_within_a_trial_is_stamped_with_it_in_its_own_thread_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with events.of_trial("t007"):
        with events.of_trial("t008s1"):
            inner = events.say(PROGRESS)
        outer = events.say(PROGRESS)
        other = threading.Thread(target=events.say, args=(PROGRESS,))
        other.start()
        other.join()
    events.say(PROGRESS)
    said = [events.parse(line) for line in capsys.readouterr().out.splitlines()]
    assert said[:2] == [inner, outer]
    assert [event.trial for event in said if event] == ["t008s1", "t007", None, None]
