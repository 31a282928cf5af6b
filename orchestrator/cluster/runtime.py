"""What travels with a job: the code, the job itself, and the settings of the processes."""

import hashlib
import importlib.util
import io
import shlex
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errand import FILE, Errand
from orchestrator.errors import UsageError
from orchestrator.plan.workers import HEALTH_CHECK_SECONDS
from orchestrator.shipment import RUN_FILE, Shipment

TRAIN, SEARCH = "orchestrator.train.launch", "orchestrator.trials.launch"
"""The drivers: of a run, and of a search."""

SUPERVISE = "orchestrator.train.supervise"

WARM = "orchestrator/warm/python.py"
SHIPPED = ("models", "orchestrator", "video")
LIMIT_BYTES = 100 * 1024 * 1024
"""The largest request that Ray's dashboard accepts."""
STOP_WAIT_SECONDS = 60
"""How long a job may take to save its state when it is stopped."""

SHUTDOWN_SECONDS = 5
"""How long Ray Train then waits for all workers to end by themselves, the frozen one too."""
FROZEN_SECONDS = HEALTH_CHECK_SECONDS + SHUTDOWN_SECONDS
"""How long until the workers are restarted when one of them has stopped answering."""

SETTINGS = {
    "AWS_MAX_ATTEMPTS": "10",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore::DeprecationWarning",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS),
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(HEALTH_CHECK_SECONDS),
}
"""Environment of the job's processes: a report counts after a quarter of a second instead of two,
a frozen worker is given up after FROZEN_SECONDS instead of ten and a half minutes, Ray answers
questions about its workers, each request to S3 is tried ten times before it counts as down, and a
line that a worker prints appears once, without colors and without warnings meant for Ray's own
developers. Ray Train's watcher of nodes is a process more."""


@dataclass(frozen=True)
class Package:
    """A zip named after its content, as Ray's package store expects."""

    name: str
    data: bytes


def pack(shipment: Shipment | Errand) -> Package:
    """Zip the code of orch, the job's own, and a file that says what to do.

    The same content gives the same bytes.

    Raises UsageError when the zip is larger than a cluster accepts, or the job's folder of code
    cannot go beside ours.
    """
    own = Path(code) if (code := shipment.job.get("code")) else None
    check_own_code(own)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in (*_code(), *(_files_in(own) if own else ())):
            archive.writestr(_entry(name), path.read_bytes())
        name = RUN_FILE if isinstance(shipment, Shipment) else FILE
        archive.writestr(_entry(name), shipment.text())
    data = buffer.getvalue()
    if len(data) > LIMIT_BYTES:
        raise UsageError(
            f"The code to ship is {len(data) / 2**20:.0f} MiB, a cluster accepts 100 MiB. Large "
            f"files do not belong in {own or 'the folders of orchestrator, models, video'}."
        )
    return Package(f"_ray_pkg_{hashlib.sha256(data).hexdigest()[:32]}.zip", data)


def entrypoint(driver: str, *, on_this_machine: bool) -> str:
    """Return a job's command: what starts its driver, and starts it again when it was killed."""
    plain = plain_python(on_this_machine=on_this_machine)
    warm = python(on_this_machine=on_this_machine)
    return f"exec {plain} -m {SUPERVISE} {RUN_FILE} {warm} -m {driver}"


def python(*, on_this_machine: bool) -> str:
    """Return the command that the processes of a run have as their Python: a warm one."""
    return f"{plain_python(on_this_machine=on_this_machine)} -IS {WARM}"


def plain_python(*, on_this_machine: bool) -> str:
    """Return the command for Python on a cluster.

    Here it is this Python, which need not be on PATH.
    """
    return shlex.quote(sys.executable) if on_this_machine else "python"


def check_own_code(folder: Path | None) -> None:
    """Raise UsageError when a job's folder of code is missing, or cannot go beside ours."""
    if folder is None:
        return
    if not folder.is_dir():
        raise UsageError(f"code: there is no folder {folder}.")
    ours = {*SHIPPED, *(f"{name}.py" for name in SHIPPED), RUN_FILE, FILE}
    if taken := sorted(ours & {path.name for path in folder.iterdir()}):
        raise UsageError(
            f"code: {folder} holds {', '.join(taken)}, which orch itself brings to the cluster. "
            "Name a folder with your own modules alone."
        )


def _code() -> Iterator[tuple[str, Path]]:
    """Yield the files of the packages, wherever they are installed, in a fixed order."""
    for package in SHIPPED:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        root = Path(next(iter(spec.submodule_search_locations)))
        for name, path in _files_in(root):
            yield f"{package}/{name}", path


def _files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files in a folder, by their names in it, without hidden and compiled ones."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield inside.as_posix(), path


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
