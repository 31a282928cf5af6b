"""A search in simulated time whose driver can be killed after any line of its journal."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.job.search import Search
from orchestrator.job.space import Settings
from orchestrator.search.conductor import Conductor, opening
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Record
from orchestrator.search.space import Space
from orchestrator.search.standing import Standing
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from tests.orchestrator.search.simulated import Disk, Fails, Score, SimulatedCrew

EPOCHS = 5


class Killed(BaseException):
    """The driver is no more."""


class MortalJournal(SearchJournal):
    """A journal whose driver is killed after so many lines; torn: in the middle of the next."""

    def __init__(self, folder: SearchFolder, lines: float = math.inf, torn: bool = False) -> None:
        super().__init__(folder)
        self._file = folder.journal
        self._left = lines
        self._torn = torn

    def append(self, record: Record) -> None:
        if self._left <= 0:
            if self._torn:
                with self._file.path.open("ab") as file:
                    file.write(b'{"is": "plan')
            raise Killed
        self._left -= 1
        super().append(record)


@dataclass
class Stage:
    """A search, its folder, and the disk of its runs; every `conduct` is another driver."""

    folder: Path
    search: Search
    score: Score
    groups: int = 1
    disk: Disk = field(default_factory=Disk)
    crews: list[SimulatedCrew] = field(default_factory=list)
    told: list[Record] = field(default_factory=list)

    def conduct(
        self, *, lines: float = math.inf, torn: bool = False, stop_after: float = math.inf
    ) -> Standing:
        crew = SimulatedCrew(self.disk, self.score, groups=self.groups, epochs=EPOCHS)
        crew.stop_after = stop_after
        self.crews.append(crew)
        self.folder.mkdir(exist_ok=True)
        space = Space(self.search.space, {})
        opened = opening(self.search, space, name="s-1", epochs=EPOCHS, workers=1)
        journal = MortalJournal(SearchFolder(RunFolder(self.folder)), lines, torn)
        journal.mend(opened)
        conductor = Conductor(
            self.search,
            space,
            journal,
            crew,
            lambda record, _: self.told.append(record),
            opened=opened,
            seed=5,
        )
        return conductor.run()

    def records(self) -> list[Record]:
        return SearchJournal(SearchFolder(RunFolder(self.folder))).read().records

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.records() if isinstance(record, kind)]


def table(standing: Standing) -> list[tuple[Any, ...]]:
    """Return what the table of trials says, without times."""
    return [
        (t.name, t.settings, t.state, t.value, t.spread, t.points, t.epoch, t.step, t.reason)
        for t in standing.trials.values()
    ]


def search(**changes: Any) -> Search:
    given = {"space": {"method.p1": {"uniform": [0.0, 1.0]}}, "metric": "2bit", "trials": 4}
    return Search(**(given | changes))


def rises(settings: Settings, seed: int, epoch: int) -> float:
    """Rise with p1 and with every epoch; the second seed is two points better."""
    return 50 * settings["method.p1"] + epoch + 2 * seed


def half_fails(settings: Settings, seed: int, epoch: int) -> float:
    """Fail after two epochs where p1 is above a half."""
    if settings["method.p1"] > 0.5 and epoch == 3:
        raise Fails("The loss is not finite.")
    return rises(settings, seed, epoch)


def diverges(settings: Settings, seed: int, epoch: int) -> float:
    """Give NaN from the third epoch on where p1 is above a half."""
    return math.nan if settings["method.p1"] > 0.5 and epoch >= 3 else rises(settings, seed, epoch)


ASHA = {"name": "asha", "grace": 1, "factor": 3}
"""Rungs after epochs 1 and 3 of 5."""
