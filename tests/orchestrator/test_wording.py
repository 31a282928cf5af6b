"""Events as sentences."""

from dataclasses import replace

import pytest

from orchestrator import wording
from orchestrator.events import Arithmetic, Event, Failed, Log, Progress, Restarted, Stopped
from tests.orchestrator.statements import (
    ARITHMETIC,
    EVALUATED,
    FAILED_TRIAL,
    FINISHED,
    RECORD,
    SEARCHED,
    SEARCHING,
    STARTED,
    TRIAL_ENDED,
)

AT = Progress(
    epoch=2,
    epochs=12,
    step=5,
    steps=31,
    samples_per_second=45.67,
    eta_seconds=125,
    loss={"8bit": 1.25, "2bit": 1.5},
    metric_name="top1",
    metric={"8bit": 90.0, "2bit": 80.04},
)


def test_progress_is_one_line_with_the_points_in_their_order() -> None:
    assert wording.describe(AT) == [
        "epoch 3/12  step 5/31  45.7 samples/s  ETA 2m05s  loss 8bit 1.250, 2bit 1.500  "
        "top1 8bit 90.0, 2bit 80.0"
    ]


@pytest.mark.parametrize(
    ("share", "said"), [(0.25, "  25% waiting for data  ETA"), (0.04, "s  ETA"), (None, "s  ETA")]
)
def test_who_waits_for_data_says_so(share: float | None, said: str) -> None:
    [line] = wording.describe(replace(AT, data_share=share))
    assert said in line


def test_the_phase_is_named_where_there_are_several() -> None:
    [line] = wording.describe(replace(AT, phase=1, phases=3))
    assert line.startswith("phase 2/3 epoch 3/12  step 5/31")
    evaluated = replace(EVALUATED, phase=1, phases=3)
    assert wording.describe(evaluated) == ["phase 2/3 epoch 1: top1 8bit 91.0"]


@pytest.mark.parametrize(
    ("command", "lines"),
    [(None, ["MLflow: http://x"]), ("mlflow ui", ["MLflow: mlflow ui", "MLflow: http://x"])],
)
def test_a_started_run_says_how_to_open_its_record_and_where(
    command: str | None, lines: list[str]
) -> None:
    started = replace(STARTED, mlflow=replace(RECORD, link="http://x", command=command))
    assert wording.describe(started) == ["Run r in /runs/r", *lines]


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (EVALUATED, ["epoch 1: top1 8bit 91.0"]),
        (
            ARITHMETIC,
            [f"Arithmetic: integer (int8), backward in float32; {ARITHMETIC.reason}"],
        ),
        (
            Arithmetic(kind="float", backward="bfloat16", reason="the job says so", layers=4),
            ["Arithmetic: float, backward in bfloat16; the job says so"],
        ),
        (
            replace(ARITHMETIC, layers=19),
            [
                f"Arithmetic: integer (int8), backward in float32; {ARITHMETIC.reason}; "
                "19 of 19 quantized layers in integers"
            ],
        ),
        (
            replace(ARITHMETIC, layers=51, in_floats=("b", "c", "a", "d", "e")),
            [
                f"Arithmetic: integer (int8), backward in float32; {ARITHMETIC.reason}; "
                "46 of 51 quantized layers in integers, not b, c, a and 2 more"
            ],
        ),
        (
            replace(ARITHMETIC, layers=4, in_floats=("b", "c", "a")),
            [
                f"Arithmetic: integer (int8), backward in float32; {ARITHMETIC.reason}; "
                "1 of 4 quantized layers in integers, not b, c, a"
            ],
        ),
        (Restarted(count=2, reason="Killed."), ["warning: Killed. The run is restarted (2)."]),
        (Log(message="hello"), ["info: hello"]),
        (replace(FINISHED, table="a\nb"), ["a", "b"]),
        (Failed(message="no data", exit_code=2), ["no data"]),
        (Stopped(message="saved"), ["saved"]),
        (
            SEARCHING,
            [
                "12/24 trials done (5 finished, 6 stopped early, 1 failed), 1 running, "
                "best delta_b 98.31 (t007: lambda 0.002, p1 0.7), ETA 41m00s"
            ],
        ),
        (
            replace(SEARCHING, ended={}, living=(), best=None, eta_seconds=None),
            ["0/24 trials done"],
        ),
        (
            TRIAL_ENDED,
            ["t007 finished  epoch 9/9  delta_b 98.31 (spread 0.40)  lambda 0.002, p1 0.7"],
        ),
        (
            replace(TRIAL_ENDED, row=FAILED_TRIAL),
            ["t003 failed  epoch 0/9  lambda 0.5, p1 0.3  The loss is not finite."],
        ),
        (SEARCHED, ["| t007 | 98.31 |"]),
        (replace(EVALUATED, trial="t007"), ["t007  epoch 1: top1 8bit 91.0"]),
        (replace(FINISHED, table="a\nb", trial="t007"), ["t007  a", "t007  b"]),
    ],
)
def test_every_event_is_a_sentence_or_a_table(event: Event, lines: list[str]) -> None:
    assert wording.describe(event) == lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "11574d01h"),
        (0.4, "0s"),
        (59.6, "1m00s"),
        (3599.9, "1h00m"),
        (7500, "2h05m"),
        (90000, "1d01h"),
    ],
)
def test_time_spans_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00012346, "0.0001235"), (4, "4"), (True, "True"), ("adam", "adam")]
)
def test_a_setting_is_read_without_the_noise_of_its_last_digits(value: object, text: str) -> None:
    assert wording.settings_line({"method.x": value}) == f"x {text}"
