"""A crew that trains nothing: its runs reach what a table says, in simulated time."""

import heapq
from collections.abc import Callable, Sequence

from benchmarks.search.table import Evaluation
from orchestrator.job.space import Settings
from orchestrator.search.crew import Leg, News
from orchestrator.search.records import Began, How, Left, Reported
from orchestrator.typed_json import Values

Look = Callable[[Settings], Sequence[Evaluation]]
"""Returns what a run with some settings reaches, epoch by epoch."""


class TableCrew:
    """Groups of workers that need a second for each epoch.

    epochs: of a whole training; a run of which the table knows fewer fails. trained: the epochs of
    all runs so far. Trials have one seed.
    """

    def __init__(self, look: Look, *, groups: int, epochs: int) -> None:
        self.trained = 0
        self._look = look
        self._groups = groups
        self._epochs = epochs
        self._now = 0.0
        self._due: list[tuple[float, str, int]] = []
        self._rows: dict[str, Sequence[Evaluation]] = {}
        self._ready: list[News] = []

    def now(self) -> float:
        """Return the simulated time."""
        return self._now

    def free(self) -> int:
        """Return how many groups have no run."""
        return self._groups - len(self._rows)

    def hand(self, leg: Leg) -> None:
        """Begin a run."""
        assert leg.until is None
        self._rows[leg.run] = self._look(leg.settings)
        self._ready.append(Began(self._now, leg.run, "table", 1))
        heapq.heappush(self._due, (self._now + 1, leg.run, 1))

    def job_of(self, run: str) -> Values | None:
        """Return that no run was begun before."""
        return None

    def ask_to_stop(self, run: str) -> None:
        """End a run at once; the epoch that it is in is lost."""
        self._leave(run, How.PARKED)

    def stop_is_asked(self) -> bool:
        """Return that nobody asks."""
        return False

    def news(self, within: float) -> Sequence[News]:
        """Return what happens next."""
        while not self._ready and self._due:
            self._now, run, epoch = heapq.heappop(self._due)
            if run in self._rows:
                self._advance(run, epoch)
        ready, self._ready = self._ready, []
        return ready

    def _advance(self, run: str, epoch: int) -> None:
        rows = self._rows[run]
        if epoch > len(rows):
            self._leave(run, How.FAILED)
            return
        self.trained += 1
        self._ready.append(Reported(self._now, run, epoch, epoch, *rows[epoch - 1]))
        if epoch == self._epochs:
            self._leave(run, How.FINISHED)
        else:
            heapq.heappush(self._due, (self._now + 1, run, epoch + 1))

    def _leave(self, run: str, how: How) -> None:
        if self._rows.pop(run, None) is not None:
            self._ready.append(Left(self._now, run, how, "it diverges" * (how == How.FAILED)))
