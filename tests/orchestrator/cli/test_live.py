"""What a followed job looks like, on a terminal and elsewhere."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator.cli import live
from orchestrator.events import Restarted
from orchestrator.state import State
from tests.orchestrator.statements import ARITHMETIC, EVALUATED, EVENTS, FINISHED, PROGRESS


def test_a_terminal_shows_bars_speed_and_the_last_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    wide = Console(
        file=text, force_terminal=True, width=120, color_system=None, legacy_windows=False
    )
    monkeypatch.setattr(live, "console", lambda err: wide)
    screen = live.screen()
    assert isinstance(screen, live.LiveScreen)
    with screen:
        screen.state(State.PENDING, "")
        for event in (*EVENTS[:4], ARITHMETIC):
            screen.event(event)
        screen.state(State.RUNNING, "")
        screen.state(State.RUNNING, "the cluster is away")
    shown = text.getvalue()
    assert "Waiting to start" in shown
    assert "0/2" in shown
    assert "3/9" in shown
    assert "12.5 samples/s   ETA 1m05s   loss 8bit 2.250" in shown
    assert "top1: 8bit 91.0" in shown
    assert "warning: one broken file" in shown
    assert "Arithmetic: integer (int8)" in shown
    assert "the cluster is away" in shown


def test_a_job_of_several_phases_has_a_bar_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    wide = Console(
        file=text, force_terminal=True, width=120, color_system=None, legacy_windows=False
    )
    monkeypatch.setattr(live, "console", lambda err: wide)
    with live.screen() as screen:
        screen.event(replace(PROGRESS, phase=1, phases=3))
        screen.state(State.RUNNING, "")
    assert re.search(r"phase .* 1/3", text.getvalue())


def test_plain_progress_is_rare_and_evaluations_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = live.PlainScreen()
    with screen:
        screen.state(State.PENDING, "")
        screen.state(State.PENDING, "")
        for _ in range(5):
            screen.event(PROGRESS)
            screen.event(EVALUATED)
        screen.event(FINISHED)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("Waiting to start ...") == 1
    assert len([line for line in lines if "samples/s" in line]) == 1
    assert lines.count("epoch 1: top1 8bit 91.0") == 5
    assert "| 8bit | 91.00 |" not in lines


@pytest.mark.parametrize(
    ("variables", "bars"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
    ],
)
def test_only_a_terminal_that_can_be_drawn_over_shows_bars(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], bars: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    terminal = Console(file=io.StringIO(), force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(live, "console", lambda err: terminal)
    assert isinstance(live.screen(), live.LiveScreen) == bars


def test_a_run_that_does_not_advance_shows_why_and_no_stale_eta(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(
        live,
        "console",
        lambda err: Console(file=text, force_terminal=True, width=120, color_system=None),
    )
    screen = live.screen()
    restarted = Restarted(count=1, reason="The process of rank 1 died.")
    with screen:
        screen.event(PROGRESS)
        screen.event(restarted)
        text.truncate(0)
        screen.state(State.RUNNING, "The workers are being restarted ...")
        late = text.getvalue()
        screen.state(State.RUNNING, "")
    assert "being restarted" in late
    assert "3/9" in late
    assert "ETA" not in late
    assert "ETA" in text.getvalue()


def test_a_reason_that_only_grows_older_is_one_plain_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with live.PlainScreen() as screen:
        for seconds in ("25s", "59s", "1m02s"):
            screen.state(State.RUNNING, f"No progress for {seconds}; given up after 1m05s.")
        screen.state(State.RUNNING, "")
    assert capsys.readouterr().err == "No progress for 25s; given up after 1m05s.\n"
