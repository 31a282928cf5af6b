"""The runs that a run starts or learns from: its driver waits for those that still go on."""

import time
from pathlib import Path

from orchestrator.events import Awaiting
from orchestrator.job import weights
from orchestrator.job.schema import Job
from orchestrator.run_facts import tell
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import RunFolder

PAUSE_SECONDS = 2.0
UNFINISHED = ("PENDING", "RUNNING")


def wait_for_sources(job: Job, folder: RunFolder) -> None:
    """Return once no run that a job starts or learns from goes on in this cluster.

    folder: of the run of the job. Whether they have finished is seen when their weights are read.
    """
    named = weights.named(job)
    active = {*named}
    said: list[str] = []
    while named := [given for given in named if not _has_results(given)]:
        active = _active_runs(active)
        going = [Path(given).name for given in named if given in active]
        if not going:
            return
        if going != said:
            whose = " and ".join(going)
            tell(folder, Awaiting(message=f"Waiting for {whose}, whose weights it needs."))
        said = going
        time.sleep(PAUSE_SECONDS)


def _has_results(given: str) -> bool:
    """Return whether some weights are those of a run that has finished, or a file.

    While their storage does not answer, they count as if they were not there yet.
    """
    place = folder_at(given)
    try:
        is_file = place.parent.exists(place.name) and not place.is_there()
        return is_file or RunFolder(place).result.exists()
    except StorageTrouble:
        return False


def _active_runs(before: set[str]) -> set[str]:
    """Return the folders of the runs whose jobs have not ended in this process's cluster.

    before: the last answer, which counts while the cluster gives none.
    """
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    try:
        jobs = JobSubmissionClient().list_jobs()
    except (OSError, RuntimeError, ValueError, RayError):
        return before
    return {
        job.metadata["run_dir"]
        for job in jobs
        if job.status in UNFINISHED and "run_dir" in (job.metadata or {})
    }
