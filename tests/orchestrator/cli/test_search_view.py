"""A search is one thing on the screen, and its trials are runs, against a fake cluster."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli import live
from orchestrator.events import Failed, Searching
from orchestrator.run_facts import Events
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch, searched
from tests.orchestrator.statements import (
    EVALUATED,
    PROGRESS,
    SEARCHED,
    SEARCHING,
    TRIAL_ENDED,
    log_of,
)

HALF_DONE = (
    "3/4 trials done (1 finished, 1 stopped early, 1 failed), 1 running, "
    "best 2bit 67.00 (t001: lambda 0.5)"
)


def now(event: Searching) -> Searching:
    return replace(event, time=time.time(), next_within=60.0)


def test_the_status_of_a_search_has_its_counts_its_living_and_its_failed_trials(
    orch: Orch, search: Record
) -> None:
    journals.write(search, journals.half_done())
    lines = orch("status", "digits").stdout.splitlines()
    assert lines[0] == "RUNNING  digits-1"
    assert not any(line.startswith("figures:") for line in lines)
    search.search_folder.figures.make()
    place = f"figures:       {search.search_folder.figures}"
    assert place in orch("status", "digits").stdout.splitlines()
    assert lines[1].startswith(f"search: {HALF_DONE}, ETA ")
    assert lines[2:4] == [
        "  t004 running  epoch 1/3  2bit 71.00  lambda 0.002",
        "  t003 failed  epoch 0/3  lambda 1  The loss is not finite.",
    ]


def test_the_status_of_a_search_elsewhere_comes_from_its_events(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].logs = [log_of(now(SEARCHING), replace(PROGRESS, trial="t008"))]
    lines = orch("status", "digits").stdout.splitlines()
    assert "12/24 trials done (5 finished, 6 stopped early, 1 failed)" in lines[1]
    assert lines[1].endswith("ETA 41m00s")
    assert "  t008 running  epoch 2/9  delta_b 90.50  lambda 1" in lines


def test_a_search_that_says_nothing_has_no_end_in_sight(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    silent = replace(now(SEARCHING), time=time.time() - 300)
    cluster.jobs["digits-1"].logs = [log_of(silent)]
    cluster.placement_groups = []
    lines = orch("status", "digits").stdout.splitlines()
    assert lines[1].endswith("p1 0.7)  (5m00s ago)")
    assert "No news of the search for 5m00s." in lines
    over = replace(silent, ended={"finished": 24}, living=())
    cluster.jobs["digits-1"].logs = [log_of(over)]
    assert "All trials have ended; the last tables, figures" in orch("status", "digits").stdout


def test_the_list_has_a_search_in_one_row_with_its_best_trial(orch: Orch, search: Record) -> None:
    search.folder.make()
    Events(search.folder).say(replace(SEARCHING, next_within=60.0))
    [row] = orch("list").stdout.splitlines()[2:]
    assert "12/24 trials ETA 41m00s" in row
    assert "delta_b 98.31 t007" in row


def test_the_list_knows_more_of_a_search_than_its_last_event_where_its_journal_is_seen(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].logs = [log_of(now(replace(SEARCHING, ended={}, living=())))]
    journals.write(search, journals.half_done())
    [row] = orch("list").stdout.splitlines()[2:]
    assert "3/4 trials" in row


def test_json_has_the_search_with_stable_keys(orch: Orch, search: Record) -> None:
    journals.write(search, journals.half_done())
    whole = json.loads(orch("status", "digits", "--json").stdout)
    assert whole["search"]["ended"] == {"finished": 1, "stopped early": 1, "failed": 1}
    assert whole["search"]["best"]["trial"] == "t001"
    assert (whole["searched"], whole["trial"]) == (None, None)
    trial = json.loads(orch("status", "digits.t002", "--json").stdout)
    assert (trial["run"], trial["state"]) == ("digits-1.t002", "STOPPED")
    assert trial["trial"]["reason"] == "61 < 80, asha"


def test_a_search_that_is_over_shows_its_table_and_how_to_use_the_best_job(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].logs = [log_of(SEARCHED)]
    cluster.jobs["digits-1"].statuses = ["SUCCEEDED"]
    done = orch("wait", "digits")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:3] == [
        "| t007 | 98.31 |",
        "best: t007, delta_b 98.31: lambda 0.002, p1 0.7",
        "`orch submit /runs/s/best.yaml` trains it again.",
    ]


def test_a_search_with_too_many_failures_ends_with_their_reasons(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    failed = Failed(message="5 of 12 trials failed", exit_code=1)
    cluster.jobs["digits-1"].logs = [log_of(SEARCHING, failed)]
    cluster.jobs["digits-1"].statuses = ["FAILED"]
    done = orch("wait", "digits")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("search: 12/24 trials done (5 finished")
    assert lines[0].endswith("1 failed), best delta_b 98.31 (t007: lambda 0.002, p1 0.7)")
    assert lines[1:3] == [
        "  t003 failed  epoch 0/9  lambda 0.5, p1 0.3  The loss is not finite.",
        "FAILED: 5 of 12 trials failed",
    ]
    assert orch("status", "digits").stdout.count("12/24 trials done") == 1


@pytest.mark.parametrize(
    ("trial", "first", "code"),
    [
        ("t001", "SUCCEEDED  digits-1.t001  (finished)", 0),
        ("t002", "STOPPED  digits-1.t002  (stopped early: 61 < 80, asha)", 1),
        ("t003", "FAILED  digits-1.t003  (failed: The loss is not finite.)", 1),
    ],
)
def test_a_trial_has_a_status_and_an_exit_code(
    orch: Orch, search: Record, trial: str, first: str, code: int
) -> None:
    journals.write(search, journals.half_done())
    assert orch("status", f"digits.{trial}").stdout.splitlines()[0] == first
    assert orch("wait", f"digits.{trial}").exit_code == code


def test_a_living_trial_shows_its_settings_and_its_own_progress(orch: Orch, search: Record) -> None:
    journals.write(search, journals.half_done())
    folder = registry.find("digits.t004").folder
    folder.make()
    Events(folder).say(PROGRESS)
    lines = orch("status", "digits.t004").stdout.splitlines()
    assert lines[0] == "RUNNING  digits-1.t004  (running)"
    assert lines[1] == "settings: lambda 0.002"
    assert lines[2].startswith("epoch 1/2  step 3/9")


def test_searches_are_compared_by_their_best_trials(
    orch: Orch, search: Record, cluster: FakeCluster, tmp_path: Path
) -> None:
    other = searched("letters-1", cluster, tmp_path)
    for one, best in ((search, 68.0), (other, 70.0)):
        journals.write(one, journals.half_done())
        folder = registry.find(f"{one.run}.t001").folder
        folder.make()
        Events(folder).say(replace(EVALUATED, metric={"2bit": best}))
    shown = orch("compare", "digits", "letters", "digits.t002").stdout.splitlines()
    assert shown[2].split() == ["digits-1.t001", "SUCCEEDED", "1", "top1", "68.00", "-"]
    assert shown[3].split() == ["letters-1.t001", "SUCCEEDED", "1", "top1", "70.00", "-"]
    assert shown[4].split()[:2] == ["digits-1.t002", "STOPPED"]
    assert shown[5:] == [
        "digits-1.t001: lambda 0.5",
        "letters-1.t001: lambda 0.5",
        "digits-1.t002: lambda 0.01",
    ]
    shown = orch("compare", "digits", "digits.t001", "letters").stdout.splitlines()
    assert [row.split()[0] for row in shown[2:4]] == ["digits-1.t001", "letters-1.t001"]


def test_plain_lines_follow_a_search_by_the_ends_of_its_trials(
    orch: Orch, search: Record, cluster: FakeCluster
) -> None:
    said = [SEARCHING, replace(EVALUATED, trial="t008"), TRIAL_ENDED, SEARCHING, SEARCHED]
    cluster.jobs["digits-1"].statuses = ["RUNNING", "SUCCEEDED"]
    cluster.jobs["digits-1"].events = [""]
    cluster.jobs["digits-1"].logs = ["", log_of(*said)]
    from orchestrator.cli import follow

    with pytest.MonkeyPatch.context() as patch:
        shown: list[str] = []
        patch.setattr(live, "say", shown.append)
        ended = follow.follow(registry.find("digits"))
    assert ended.state is State.SUCCEEDED
    assert [line.split(",")[0].split("  ")[0] for line in shown] == [
        "12/24 trials done (5 finished",
        "t007 finished",
    ]


def test_a_terminal_shows_bars_of_trials_and_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    wide = Console(
        file=text, force_terminal=True, width=200, color_system=None, legacy_windows=False
    )
    monkeypatch.setattr(live, "console", lambda err: wide)
    with live.screen() as screen:
        screen.event(SEARCHING)
        screen.event(TRIAL_ENDED)
        screen.state(State.RUNNING, "")
    shown = text.getvalue()
    assert "12/24" in shown
    assert "80/216" in shown
    assert "best delta_b 98.31 (t007: lambda 0.002, p1 0.7), ETA 41m00s" in shown
    assert "  t008 running  epoch 2/9  delta_b 90.50  lambda 1" in shown
    assert "t007 finished  epoch 9/9" in shown
