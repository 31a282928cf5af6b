"""The driver of a search: `python -m orchestrator.trials.launch run.json` on the cluster.

run.json is as for a plain run. The search is the parent run; its journal says what was decided, and
an attempt goes on wherever the last one ended.
"""

import os
import sys
from functools import partial

from orchestrator.errors import JobFailed
from orchestrator.events import Searched, inform, warn
from orchestrator.job.schema import Job
from orchestrator.run_facts import Events
from orchestrator.search import announce, endings
from orchestrator.search.conductor import Conductor, opening
from orchestrator.search.journal import SearchJournal
from orchestrator.search.space import Space
from orchestrator.search.standing import Standing
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.sender import Sender
from orchestrator.track.server import ask_once
from orchestrator.train import driver, job_log
from orchestrator.train.worker import Run
from orchestrator.trials.crew import RayCrew
from orchestrator.trials.desk import Desk


def main(path: str) -> int:
    """Search to the end; return the exit code."""
    return driver.drive(path, _run)


def _run(job: Job, run: Run, _attempt: int, sender: Sender) -> int:
    inform(f"Starting groups of {job.cluster.most} workers, each of which loads PyTorch ...")
    driver.connect()
    driver.pass_stop_on(run.folder)
    search = SearchFolder(run.folder)
    sender.watch(run.folder)
    standing = _search(job, run, search, sender)
    if standing.closed is None:
        return driver.stopped(run.folder, sender)
    return _conclude(run, search, standing, sender)


def _search(job: Job, run: Run, search: SearchFolder, sender: Sender) -> Standing:
    """Conduct the search; when this returns, all groups are gone and the sender knows all."""
    assert job.search is not None
    space, journal = Space.of(job.search, job.as_dict()), SearchJournal(search)
    opened = opening(
        job.search,
        space,
        name=search.run.name,
        epochs=job.epochs,
        workers=job.cluster.most,
    )
    journal.mend(opened)
    crew = RayCrew(search, job, run.reference, sender)
    desk = Desk(search, job, sender)
    conductor = Conductor(job.search, space, journal, crew, desk.wake, opened=opened, seed=job.seed)
    try:
        return conductor.run()
    finally:
        crew.close()
        desk.finish()
        for trial in conductor.standing.living:
            for left in conductor.standing.runs_of(trial):
                folder = search.of_run(left.name)
                sender.close(folder, partial(endings.interrupt_record, folder, left, warn))


def _conclude(run: Run, search: SearchFolder, standing: Standing, sender: Sender) -> int:
    """Report how a search ended that is over. Raises JobFailed if it failed."""
    assert standing.opened is not None
    assert standing.closed is not None
    if standing.closed.reason:
        raise JobFailed(standing.closed.reason)
    if standing.best is None:
        raise JobFailed(f"No trial reached a finite {standing.opened.metric}.")
    driver.close(run.folder, sender, "FINISHED")
    end = Searched(
        run_dir=str(run.folder),
        metric=standing.opened.metric,
        trials=standing.opened.trials,
        ended=announce.ended(standing),
        best=announce.row(standing.best),
        best_job=str(search.best),
        table=search.table.read(),
    )
    Events(run.folder).say(end)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    ask_once()
    job_log.install()
    sys.exit(main(sys.argv[1]))
