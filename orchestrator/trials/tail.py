"""What a run of a search reports, read from its folder: nothing is lost when a process is killed.

Its metrics are there before anything else is done with them, each epoch's in a line of their own.
"""

from orchestrator.search.records import Reported
from orchestrator.store.lines import Lines
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import keys
from orchestrator.track.journal import Line
from orchestrator.typed_json import made_of


class Tail:
    """The epochs of a run that were not read yet, from the first one on.

    run: such as t007. metric: of its data set, top1 or map.
    """

    def __init__(self, run: str, folder: RunFolder, metric: str) -> None:
        self._run = run
        self._lines = Lines(folder.metrics)
        self._beginning = keys.metric(metric, "")
        self._mark = 0

    def new(self) -> list[Reported]:
        """Return the epochs that have been recorded since the last call."""
        found = self._lines.read(self._mark)
        self._mark = found.mark
        return [report for value in found.values if (report := self._report(value))]

    def _report(self, value: object) -> Reported | None:
        """Return the epoch that a line is about; None for what was evaluated without training."""
        try:
            line = made_of(Line, value)
        except ValueError:
            return None
        if keys.EPOCH not in line.metrics:
            return None
        return Reported(
            time=line.time_ms / 1000,
            run=self._run,
            epoch=int(line.metrics[keys.EPOCH]),
            step=line.step,
            points={
                key.removeprefix(self._beginning): value
                for key, value in line.metrics.items()
                if key.startswith(self._beginning)
            },
            delta_b=line.metrics.get(keys.DELTA_B),
        )
