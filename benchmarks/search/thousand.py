"""How quick a search of 1,000 trials stays whose trainings take no time.

    python -m benchmarks.search.thousand

The search of `jobs/search_lambda_p1_alpha.yaml` with a function for the trainings, nine epochs
each, ASHA, eight trials at once, and a journal on the disk; with two searchers. Seconds of wall
time, idle apart from this:

- "search": from the first trial to the last;
- "last_suggestion": what the searcher needs for trial 1,001;
- "read": the journal as `orch status` reads it;  "table": Markdown and CSV;  "figures": all;
- "resume": until a second driver stands where the first one ended.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks.results_file import REPOSITORY, conditions, keep
from benchmarks.search.table import Evaluation
from benchmarks.search.table_crew import TableCrew
from orchestrator.job.load import load_job
from orchestrator.job.space import Settings
from orchestrator.search import figures, table
from orchestrator.search.conductor import Conductor, opening
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Record
from orchestrator.search.searchers import searcher_of
from orchestrator.search.space import Space
from orchestrator.search.standing import Standing
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder

T = TypeVar("T")

TRIALS = 1000
EPOCHS = 9
JOB = REPOSITORY / "jobs" / "search_lambda_p1_alpha.yaml"


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    about = conditions("python -m benchmarks.search.thousand")
    measured = {name: measure(name) for name in ("random", "prior")}
    keep("search_thousand", {**about, "trials": TRIALS, "epochs": EPOCHS, "seconds": measured})


def measure(searcher: str) -> dict[str, float]:
    """Search once with a searcher; return the seconds of each part."""
    with TemporaryDirectory() as place:
        folder = SearchFolder(RunFolder(Path(place)))
        seconds: dict[str, float] = {}

        def timed(name: str, act: Callable[[], T]) -> T:
            start = time.monotonic()
            result = act()
            seconds[name] = round(time.monotonic() - start, 2)
            return result

        first = conductor(folder, searcher)
        timed("search", first.run)
        timed("last_suggestion", lambda: suggest(searcher, first.standing))
        standing = timed("read", lambda: Standing.of(SearchJournal(folder).read().records))
        timed("table", lambda: (table.markdown(standing), table.rows_as_csv(standing)))
        timed("figures", lambda: figures.draw(standing, folder.figures))
        timed("resume", lambda: conductor(folder, searcher))
    return seconds


def conductor(folder: SearchFolder, searcher: str) -> Conductor:
    """Return a search from where its journal ends."""
    job = load_job(JOB, [f"search.searcher={{name: {searcher}}}", f"search.trials={TRIALS}"]).job
    assert job.search is not None
    space = Space.of(job.search, job.as_dict())
    crew = TableCrew(reached, groups=8, epochs=EPOCHS)
    opened = opening(job.search, space, name="thousand", epochs=EPOCHS, workers=1)
    journal = SearchJournal(folder)
    return Conductor(job.search, space, journal, crew, forget, opened=opened, seed=0)


def suggest(searcher: str, standing: Standing) -> None:
    """Let a searcher propose one more trial."""
    job = load_job(JOB, [f"search.searcher={{name: {searcher}}}"]).job
    assert job.search is not None
    space = Space.of(job.search, job.as_dict())
    searcher_of(job.search, space, 0).suggest(TRIALS, tuple(standing.trials.values()))


def reached(settings: Settings) -> list[Evaluation]:
    """Return what a trial reaches: best at lambda 0.01 and p1 0.8, and better with each epoch."""
    off = abs(math.log10(settings["method.lambda"]) + 2) + 5 * abs(settings["method.p1"] - 0.8)
    ends = (90 - 4 * off - 40 / (epoch + 1) for epoch in range(EPOCHS))
    return [Evaluation({"8bit": end, "2bit": end - 5}, end) for end in ends]


def forget(_record: Record, _standing: Standing) -> None:
    """Tell nobody."""


if __name__ == "__main__":
    main()
