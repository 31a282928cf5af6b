"""A search whose journal has lost its first line, or all of them, goes on with what is left."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.search.records import Ended, Opened, Planned, TrialState
from tests.orchestrator.search.stage import ASHA, EPOCHS, Killed, Stage, rises, search, table

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda line: bytes(len(line) - 1) + b"\n",
    "cut": lambda line: line[: len(line) // 2] + b"\n",
    "cut with its end": lambda line: line[: len(line) // 2],
    "not text": lambda line: b"\xff\xfe\n",
    "another version": lambda line: line.replace(b'"seeds"', b'"copies"'),
    "gone": lambda line: b"",
}
PRIOR = search(
    trials=6,
    space={"method.p1": {"uniform": [0.0, 1.0], "prior": {"value": 0.5, "width": 0.1}}},
    searcher={"name": "prior"},
    scheduler=ASHA,
)


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_journal_without_its_first_line_gets_one_and_keeps_the_others(
    tmp_path: Path, damage: str
) -> None:
    whole = Stage(tmp_path / "whole", PRIOR, rises)
    expected = table(whole.conduct())
    cut = Stage(tmp_path / "cut", PRIOR, rises)
    with pytest.raises(Killed):
        cut.conduct(lines=len(whole.records()) - 9)
    file = cut.folder / "search.jsonl"
    first, *others = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(DAMAGED[damage](first) + b"".join(others))
    known = cut.records()
    assert table(cut.conduct()) == expected
    found = cut.records()
    assert isinstance(found[0], Opened)
    assert found[1 : len(known) + 1] == known
    assert len(cut.of(Opened)) == 1
    assert len(cut.of(Ended)) == 6


def test_a_search_whose_journal_is_gone_finds_its_trials_in_their_folders(
    stage: Callable[..., Stage],
) -> None:
    play = stage(PRIOR, groups=2)
    with pytest.raises(Killed):
        play.conduct(lines=30)
    began = dict(play.disk.jobs)
    assert len(began) > 2
    (play.folder / "search.jsonl").unlink()
    standing = play.conduct()
    settings = {name: trial.settings for name, trial in standing.trials.items()}
    assert {name: settings[name] for name in began} == began
    assert {record.origin for record in play.of(Planned) if record.trial in began} == {"found"}
    assert len(play.disk.trained) == len(set(play.disk.trained))
    finished = [t.epoch for t in standing.trials.values() if t.state == TrialState.FINISHED]
    assert set(finished) == {EPOCHS}


def test_a_folder_whose_settings_are_not_of_the_space_is_no_trial(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(trials=1))
    play.disk.jobs["t001"] = {"method.p1": 7.0}
    standing = play.conduct()
    assert standing.trials["t001"].origin == "anywhere"
