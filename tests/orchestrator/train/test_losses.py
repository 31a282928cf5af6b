"""What makes up for a loss of processes: a checkpoint; in a search, an epoch or end of a trial."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFailed
from orchestrator.run_facts import facts_of
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import (
    Attempt,
    Began,
    Ended,
    How,
    Left,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.train.losses import Losses, Trials

ROUTINE: list[Record] = [
    Attempt(1.0, 2),
    Planned(1.0, "t001", {}, "prior"),
    Began(1.0, "t001", "group 1", 1),
    Left(1.0, "t001", How.PARKED),
]
PROGRESS: list[Record] = [
    Reported(1.0, "t001", 1, 20, {"8bit": 91.5}, None),
    Ended(1.0, "t001", TrialState.FAILED, None, None, {}, None, 0, 0, "The loss is not finite."),
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run-1")
    found.make()
    return found


def test_a_new_checkpoint_makes_up_for_the_losses_before(folder: RunFolder) -> None:
    losses = Losses("run-1", folder, allowed=1)
    losses.add("First.")
    folder.commit({}, Reached(0, 1, 5))
    losses.add("Second.")
    with pytest.raises(JobFailed, match="2 times since the checkpoint at epoch 2, step 5"):
        losses.add("Third.")
    kept = facts_of(folder).restarted
    assert kept is not None
    assert (kept.count, kept.reason) == (2, "Second.")


@pytest.mark.parametrize("record", PROGRESS)
def test_what_a_trial_reaches_makes_up_for_the_losses_of_a_searchs_driver(
    folder: RunFolder, record: Record
) -> None:
    journal = SearchJournal(SearchFolder(folder))
    losses = Losses("run-1", folder, allowed=1, gain=Trials(folder))
    for _ in range(3):
        losses.add("The driver was killed.")
        journal.append(record)
    losses.add("The driver was killed.")
    with pytest.raises(JobFailed, match=r"2 times since the last epoch of a trial; .*goes on"):
        losses.add("The driver was killed.")


def test_what_each_driver_of_a_search_writes_makes_up_for_nothing(folder: RunFolder) -> None:
    journal = SearchJournal(SearchFolder(folder))
    journal.append(PROGRESS[0])
    losses = Losses("run-1", folder, allowed=1, gain=Trials(folder))
    losses.add("The driver was killed.")
    for record in ROUTINE:
        journal.append(record)
    with pytest.raises(JobFailed, match="without a new epoch of a trial"):
        losses.add("The driver was killed.")
