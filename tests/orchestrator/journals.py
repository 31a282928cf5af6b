"""Hand-written journals of searches, for those who read them."""

from orchestrator.runs.registry import Record
from orchestrator.search import records
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import (
    Attempt,
    Began,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Reported,
    TrialState,
)

SEARCH = {"space": {"method.lambda": {"loguniform": [0.001, 1.0]}}, "metric": "2bit"}


def opened(seeds: int = 1) -> Opened:
    """Return the beginning of a search of four trials of three epochs, with two workers each."""
    keys = ("method.lambda",)
    return Opened(0.0, "digits", "2bit", "max", keys, keys, 4, seeds, "asha", "random", 3, 2)


def half_done() -> list[records.Record]:
    """Return a journal: one trial finished, one stopped early, one failed, one runs."""
    return [
        opened(),
        Attempt(0.0, 1),
        *_trial("t001", 0.5, 0.0, 3, TrialState.FINISHED, How.FINISHED, ""),
        *_trial("t002", 0.01, 30.0, 1, TrialState.STOPPED_EARLY, How.STOPPED, "61 < 80, asha"),
        *_trial("t003", 1.0, 40.0, 0, TrialState.FAILED, How.FAILED, "The loss is not finite."),
        Planned(50.0, "t004", {"method.lambda": 0.002}, "near"),
        Began(50.0, "t004", "group 1", 2),
        Reported(60.0, "t004", 1, 10, {"8bit": 85.0, "2bit": 71.0}, None),
    ]


def write(search: Record, lines: list[records.Record]) -> None:
    """Write a journal into the folder of a search."""
    search.folder.make()
    for line in lines:
        SearchJournal(search.search_folder).append(line)


def _trial(
    trial: str, value: float, start: float, epochs: int, state: TrialState, how: How, reason: str
) -> list[records.Record]:
    """Return the records of a trial that has ended after so many epochs of ten seconds."""
    results = [{"8bit": 90.0 + n, "2bit": 60.0 + 10 * value + n} for n in range(epochs)]
    end = start + 10.0 * epochs
    last = results[-1] if results else {}
    reported = [
        Reported(start + 10.0 * n, trial, n, 10 * n, points, None)
        for n, points in enumerate(results, start=1)
    ]
    return [
        Planned(start, trial, {"method.lambda": value}, "anywhere"),
        Began(start, trial, "group 1", 2),
        *reported,
        Left(end, trial, how, reason if how == How.FAILED else ""),
        Ended(end, trial, state, last.get("2bit"), None, last, None, epochs, 10 * epochs, reason),
    ]
