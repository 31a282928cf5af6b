import json
from pathlib import Path

import pytest

from orchestrator.store.run_folder import RunFolder
from orchestrator.track.journal import Journal, Rejected


def test_a_metric_recorded_once_is_not_recorded_again(tmp_path: Path) -> None:
    Journal(RunFolder(tmp_path)).append(0, {"top1/8bit": 50.0})
    again = Journal(RunFolder(tmp_path))
    again.append(0, {"top1/8bit": 51.0, "top1/2bit": 40.0})
    lines, _ = again.unsent()
    assert [line.metrics for line in lines] == [{"top1/8bit": 50.0}, {"top1/2bit": 40.0}]


def test_what_is_marked_as_sent_is_not_returned_again(tmp_path: Path) -> None:
    journal = Journal(RunFolder(tmp_path))
    journal.append(0, {"a": 1.0})
    lines, mark = journal.unsent()
    assert len(lines) == 1
    journal.mark_sent(mark)
    journal.append(1, {"a": 2.0})
    assert [line.step for line in Journal(RunFolder(tmp_path)).unsent()[0]] == [1]


def test_a_line_cut_by_a_kill_is_dropped_and_rewritten(tmp_path: Path) -> None:
    Journal(RunFolder(tmp_path)).append(0, {"a": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "metr')
    journal = Journal(RunFolder(tmp_path))
    journal.append(1, {"a": 2.0})
    written = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in written] == [0, 1]


@pytest.mark.parametrize("mark", ["", "many", "-3", "1.5", "9999", "\0\0"])
def test_a_mark_that_cannot_be_true_lets_all_be_sent_again(tmp_path: Path, mark: str) -> None:
    Journal(RunFolder(tmp_path)).append(0, {"a": 1.0})
    (tmp_path / "metrics.sent").write_text(mark)
    assert [line.step for line in Journal(RunFolder(tmp_path)).unsent()[0]] == [0]


def test_what_a_crash_left_between_the_lines_is_skipped_and_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(RunFolder(tmp_path)).append(0, {"a": 1.0})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(
            b'\0\0\0\n{"step": 4}\n[]\n\xff\n{"step": 4, "time_ms": 5, "metrics": {"a": "b"}}\n'
        )
    journal = Journal(RunFolder(tmp_path))
    journal.append(1, {"a": 2.0})
    journal.append(2, {"a": 2.0})
    [said] = capsys.readouterr().out.splitlines()
    assert f"Lines 2, 5 of {tmp_path}/metrics.jsonl cannot be read and are left out." in said
    lines, mark = Journal(RunFolder(tmp_path)).unsent()
    assert [line.step for line in lines] == [0, 1, 2]
    assert mark == (tmp_path / "metrics.jsonl").stat().st_size


def test_portions_of_the_lines_are_all_of_them_once(tmp_path: Path) -> None:
    journal = Journal(RunFolder(tmp_path))
    for step in range(5):
        journal.append(step, {"a": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "metr')
    portions = []
    while (portion := journal.unsent(2))[0]:
        portions.append([line.step for line in portion[0]])
        journal.mark_sent(portion[1])
    assert portions == [[0, 1], [2, 3], [4]]
    assert journal.waiting() == 0


def test_only_what_comes_out_differently_when_it_is_done_again_is_counted(tmp_path: Path) -> None:
    first = {"a": 1.0, "b": float("nan"), "c": 2.0, "training/epoch_seconds": 3.0}
    Journal(RunFolder(tmp_path)).append(1, first)
    for c in (2.5, 2.6):
        Journal(RunFolder(tmp_path)).append(1, first | {"c": c, "training/epoch_seconds": 4.0})
    journal = Journal(RunFolder(tmp_path))
    assert journal.differing() == 1
    assert [line.metrics["c"] for line in journal.unsent()[0]] == [2.0]


def test_a_metric_that_is_rejected_again_after_a_kill_is_kept_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    bad = [Rejected(step, 5, {"a@": float("nan")}, "no such name") for step in (1, 2)]
    Journal(folder).reject(bad[:1])
    Journal(folder).reject(bad)
    kept = [json.loads(line) for line in folder.metrics_rejected.path.read_text().splitlines()]
    assert [row["step"] for row in kept] == [1, 2]
