import json
from pathlib import Path

from orchestrator.track.journal import Journal


def test_a_metric_recorded_once_is_not_recorded_again(tmp_path: Path) -> None:
    Journal(tmp_path).append(0, {"top1/8bit": 50.0})
    again = Journal(tmp_path)
    again.append(0, {"top1/8bit": 51.0, "top1/2bit": 40.0})
    lines, _ = again.unsent()
    assert [line["metrics"] for line in lines] == [{"top1/8bit": 50.0}, {"top1/2bit": 40.0}]


def test_what_is_marked_as_sent_is_not_returned_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(0, {"a": 1.0})
    lines, mark = journal.unsent()
    assert len(lines) == 1
    journal.mark_sent(mark)
    journal.append(1, {"a": 2.0})
    assert [line["step"] for line in Journal(tmp_path).unsent()[0]] == [1]


def test_a_line_torn_by_a_kill_is_dropped_and_written_anew(tmp_path: Path) -> None:
    Journal(tmp_path).append(0, {"a": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "metr')
    journal = Journal(tmp_path)
    journal.append(1, {"a": 2.0})
    written = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in written] == [0, 1]
