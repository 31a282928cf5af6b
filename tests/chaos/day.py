"""A bad day: what happens to a run, and what was wrong with it in the end."""

from collections.abc import Sequence

from benchmarks.overhead import digest
from tests import s3_server
from tests.chaos import samples, undisturbed
from tests.chaos.faults import Fault
from tests.chaos.runs import EPOCH_SAMPLES, Place, Victim
from tests.mlflow_server import MlflowServer


def let_happen(place: Place, server: MlflowServer, seed: int, faults: Sequence[Fault]) -> list[str]:
    """Let faults happen to a run of a seed; return what was wrong at the end.

    Raises AssertionError when it does not come to its end.
    """
    output = f"s3://{s3_server.BUCKET}/runs" if in_s3(seed) else str(place.folder / "runs")
    notes = place.folder / f"notes-{seed}"
    run = place.submit(output, f"seed={seed}", *samples.settings(notes))
    victim = Victim(place, run)
    for fault in faults:
        victim.suffer(fault)
    place.orch("wait", run.name, "--timeout", "600")
    place.server.become("well")
    place.storage.become("well")
    place.orch("sync", run.name)
    twin = undisturbed.twin_of(run, notes, place.folder)
    other = [] if digest(run) == digest(twin.run) else ["other weights"]
    of_samples = samples.faults_of(notes, twin.notes, EPOCH_SAMPLES)
    return other + of_samples + undisturbed.faults_of_record(server, run, twin.run)


def in_s3(seed: int) -> bool:
    """Return whether the run of a seed has its folder in S3."""
    return seed % 2 == 1
