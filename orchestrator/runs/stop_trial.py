"""Ask one trial of a running search to save and end, wherever its folder is."""

import secrets
import shlex
import time

from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import MaybeSubmitted, Unreachable
from orchestrator.job.paths import in_bucket
from orchestrator.runs import trials
from orchestrator.runs.registry import Record
from orchestrator.state import State, is_final
from orchestrator.store.run_folder import RunFolder

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.5


def ask_to_stop(search: Record, trial: str, client: ClusterClient) -> None:
    """Put the request into the folders of a trial's runs; those that have not begun end at once.

    Where the folder of the search is not seen here, a job of a single command does it on the
    search's own cluster; a bucket is seen from everywhere. Raises Unreachable or StorageTrouble.
    """
    folders = trials.folders_of(search, trial, search.job["search"].get("seeds", 1))
    if not in_bucket(search.run_dir) and not search.folder.is_there():
        _ask_there(search, trial, folders, client)
        return
    for folder in folders:
        folder.make()
        folder.ask_to_stop_by_name()


def _ask_there(search: Record, trial: str, folders: list[RunFolder], client: ClusterClient) -> None:
    made = shlex.join(["mkdir", "-p", *map(str, folders)])
    touched = shlex.join(["touch", *(str(folder.stop_by_name) for folder in folders)])
    job = f"{search.run}.stop-{secrets.token_hex(2)}"
    try:
        client.submit(job, f"{made} && {touched}", {}, {})
    except MaybeSubmitted as error:  # no record has its name
        name = f"{search.run}.{trial}"
        raise Unreachable(
            f"{name} may have been asked to end: the cluster went away before it said so. "
            f"`orch stop {name}` asks again, once the cluster is back. {error.__cause__}"
        ) from error
    end = time.monotonic() + WAIT_SECONDS
    while (state := _state(client, job)) is None or not is_final(state):
        if time.monotonic() > end:
            raise Unreachable(f"The cluster has not yet run {job}, which would stop the trial.")
        time.sleep(POLL_SECONDS)
    if state is not State.SUCCEEDED:
        raise Unreachable(f"The cluster could not ask the trial: {client.logs(job).strip()}")


def _state(client: ClusterClient, job: str) -> State | None:
    info = client.job(job)
    return info.state if info else None
