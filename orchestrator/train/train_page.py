"""Ray's page of training runs, once a driver has followed a killed one.

Ray knows one driver of each submitted job, the last. Its page, with all runs of the cluster, fails
as a whole over a run of a driver that it does not know.
"""

import json
import os

from orchestrator.events import warn

SUBMISSION = "job_submission_id"
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Holds what the driver of a submitted job is to know of it."""


def take_over() -> None:
    """Let the runs of earlier drivers of this process's job count as this one's.

    What goes wrong is a warning: the training does not need the page.
    """
    try:
        _take_over()
    except Exception as error:  # whatever another version of Ray does not know
        warn(f"Ray's page of training runs may show nothing: {type(error).__name__}: {error}")


def _take_over() -> None:
    import ray
    from ray.train.v2._internal.state.state_actor import get_state_actor

    actor, here = get_state_actor(), ray.get_runtime_context().get_job_id()
    if actor is None:
        return
    own = _drivers_of_this_job()
    for run in ray.get(actor.get_train_runs.remote()).values():
        if run.job_id in own and run.job_id != here:
            moved = run.model_copy(update={"job_id": here})
            ray.get(actor.create_or_update_train_run.remote(moved))


def _drivers_of_this_job() -> set[str]:
    """Return the ids that Ray gave to the drivers of this process's job."""
    from ray._private.worker import global_worker

    given = json.loads(os.environ.get(JOB_CONFIG, "{}"))
    submission = given.get("metadata", {}).get(SUBMISSION)
    known = global_worker.gcs_client.get_all_job_info(
        skip_submission_job_info_field=True, skip_is_running_tasks_field=True
    )
    return {
        info.job_id.hex()
        for info in known.values()
        if submission and dict(info.config.metadata).get(SUBMISSION) == submission
    }
