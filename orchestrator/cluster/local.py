"""The local head: the Ray cluster that orch starts on this machine when none is configured.

There is one per Python environment. A file remembers it, keyed by the environment's folder and that
folder's inode, so that a new environment in the same place does not find the old one's head. All
changes happen under a lock: two submissions at once start one head.
"""

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from orchestrator import home, state_file
from orchestrator.cluster import gpus, head_process
from orchestrator.cluster.capacity import Capacity, Node
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.dashboard import CONNECT_SECONDS
from orchestrator.cluster.token import Token
from orchestrator.errors import Unreachable, UsageError
from orchestrator.events import Event, events_file, read
from orchestrator.home import files_in, folder, orch_home, save
from orchestrator.state import is_final
from orchestrator.typed_json import made_of

GPUS = "CUDA_VISIBLE_DEVICES"
ANSWER_SECONDS = 15.0
"""How long a head that is alive may take to answer: a busy machine takes its time."""
RETRY_SECONDS = 0.2
END_BYTES = 65536
"""Of a job's events, where the last one is looked for that tells its state."""

_LOG = logging.getLogger(__name__)
_silent: set[str] = set()
"""Folders of heads that did not answer: a command waits for each of them only once."""
FEWEST_CPUS = 2
"""So that a job with two workers runs on any machine, slowly on a single processor."""


@dataclass(frozen=True)
class Head:
    """A local head. session: Ray's name of it, empty until it has started.

    visible_gpus: the CUDA_VISIBLE_DEVICES it was started with, by which Ray gives out GPUs.
    """

    url: str
    folder: str
    prefix: str
    inode: int
    session: str = ""
    visible_gpus: str | None = None

    @property
    def token_file(self) -> Path:
        """The file with the token that the head and its pages ask for."""
        return head_process.token_file(Path(self.folder))

    def client(self, timeout: float = CONNECT_SECONDS) -> ClusterClient:
        """Return a client that has the head's token."""
        return ClusterClient(self.url, timeout=timeout, token=Token(self.token_file))


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Keep other processes from starting or stopping the local head meanwhile."""
    with home.locked(folder("local") / "lock"):
        yield


def running() -> Head | None:
    """Return this environment's local head, if it has started and is alive.

    It is not asked anything. One that does not answer is there nevertheless, and so are its jobs.
    """
    head = _remembered(_state_file())
    started = head and head.session and head_process.is_alive(Path(head.folder))
    return head if started else None


def answers(head: Head) -> bool:
    """Wait until a head answers and return True; False as soon as it is not alive any more.

    Raises Unreachable for one that is alive and has not answered for ANSWER_SECONDS.
    """
    end = time.monotonic() + (0 if head.folder in _silent else ANSWER_SECONDS)
    while head_process.is_alive(Path(head.folder)):
        left = end - time.monotonic()
        if left <= 0:
            _silent.add(head.folder)
            raise Unreachable(
                f"The local cluster at {head.url} is alive, but does not answer; its jobs may go "
                "on. Try again later; `orch down` ends it and its jobs."
            )
        with contextlib.suppress(Unreachable):
            if head.client(left).version().get("session_name") == head.session:
                return True
        time.sleep(RETRY_SECONDS)
    return False


def ensure(say: Callable[[str], None]) -> Head:
    """Return the running local head, or start it, saying so. Call it under `locked`.

    Raises Unreachable with the end of the head's log when it does not start, and for a head that
    is alive and does not answer: its jobs are not ended for another one's sake.
    """
    if (head := running()) and answers(head):
        _tell_other_gpus(head, say)
        return head
    if dead := _remembered(_state_file()):
        _end(dead, _state_file())
    say("Starting a local Ray cluster on this machine ...")
    head = _start()
    say(f"Local Ray cluster ready, dashboard: {head.url} (asks for the token in {head.token_file})")
    return head


def offer(*, with_gpus: bool = False) -> Capacity:
    """Return what a local head has or would have; GPUs on request, since Ray has to count them.

    Raises Unreachable for a head that is alive and does not answer.
    """
    if (head := running()) and answers(head):
        return head.client().capacity()
    found = gpus.count() if with_gpus else 0
    return Capacity((Node("127.0.0.1", num_cpus(), found, is_head=True),))


def num_cpus() -> int:
    """Return the processors this process may use, at least FEWEST_CPUS."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed or 1, -(-int(quota) // int(period)))
    return max(FEWEST_CPUS, allowed or 1)


def token_file() -> Path | None:
    """Return where the token of this environment's head is, without checking that it is alive."""
    head = _remembered(_state_file())
    return head.token_file if head else None


def active_jobs(head: Head) -> list[JobInfo]:
    """Return the jobs on a head that have not ended. Raises Unreachable."""
    return [job for job in head.client().jobs() if not is_final(job.state)]


def release() -> bool:
    """Stop the local head if it says that it has no active job. Returns whether it was stopped.

    Nobody has asked for that, so it stays, with a warning, where its jobs' logs cannot be kept.
    """
    with locked():
        head = running()
        if head is None or not _is_idle(head):
            return False
        if lost := _keep_logs(head):
            _LOG.warning(
                "The local Ray cluster stays, as its jobs' logs cannot be kept; `orch down` ends "
                "it: %s",
                lost[0],
            )
            return False
        stop(head)  # which keeps them once more, with the last lines
        return True


def stop(head: Head) -> bool:
    """End the processes of the head and no others, after saving its jobs' logs.

    Returns whether any was alive.
    """
    return _end(head, _state_file(head.prefix, head.inode))


def stop_all() -> int:
    """Stop this environment's head, whether it answers or not, and what is left of heads that
    died or whose environment is gone; return how many had living processes.
    """
    own = _state_file()
    count = 0
    for path in files_in("local"):
        head = _remembered(path)
        if head is None:
            continue
        alive = head_process.is_alive(Path(head.folder))
        if path == own or not alive or _inode(head.prefix) != head.inode:
            count += stop(head)
    return count


def keep_logs() -> None:
    """Keep what the jobs of this environment's head have said, if it has died."""
    head = _remembered(_state_file())
    if head and not head_process.is_alive(Path(head.folder)):
        _warn_of(_keep_logs(head))


def kept_log(submission_id: str) -> Path:
    """Return where the log of a job is kept after its local head has been stopped."""
    return orch_home() / "logs" / f"{submission_id}.log"


def kept_events(submission_id: str) -> Path:
    """Return where the events of a job are kept after its local head has been stopped."""
    return orch_home() / "logs" / events_file(submission_id)


def last_stated(submission_id: str) -> Event | None:
    """Return the last event of a job that told its state, of a local head that is gone.

    It is in the events that were kept, or in those that a head that died has left. Only the end of
    the file is read, since many runs may be asked for. None when there is no such file or event.
    """
    for path in _left_events(submission_id):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - END_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            continue
        for event in map(read, reversed(lines)):
            if event and event.trial is None and event.state is not None:
                return event
    return None


def _left_events(submission_id: str) -> Iterator[Path]:
    if head := _remembered(_state_file()):
        yield head_process.logs_folder(Path(head.folder)) / events_file(submission_id)
    yield kept_events(submission_id)


def _tell_other_gpus(head: Head, say: Callable[[str], None]) -> None:
    here = os.environ.get(GPUS)
    if here != head.visible_gpus:
        there = "not set" if head.visible_gpus is None else repr(head.visible_gpus)
        say(
            f"warning: {GPUS} was {there} when the local cluster was started, and that holds for "
            "its jobs. For what it is now, `orch down` first."
        )


def _start() -> Head:
    """Start a head, on another port if the chosen one was taken in the meantime."""
    port = head_process.dashboard_port()
    try:
        return _start_at(port)
    except Unreachable:
        if head_process.is_free(port):
            raise
    return _start_at(head_process.free_port())


def _start_at(port: int) -> Head:
    home = head_process.make_folder()
    url = f"http://127.0.0.1:{port}"
    gpus_here = os.environ.get(GPUS)
    head = Head(url, str(home), sys.prefix, _inode(sys.prefix), visible_gpus=gpus_here)
    try:
        save(_state_file(), json.dumps(asdict(head)))
        head_process.start(home, port, num_cpus())
        session = head_process.wait_until_ready(home, url)
        head = Head(**{**asdict(head), "session": session})
        save(_state_file(), json.dumps(asdict(head)))
    except BaseException:
        _end(head, _state_file())
        raise
    return head


def _is_idle(head: Head) -> bool:
    """Return whether a head has no active jobs, as far as it says so."""
    try:
        return not active_jobs(head)
    except Unreachable:
        return False


def _end(head: Head, path: Path) -> bool:
    lived = head_process.end(Path(head.folder))
    _warn_of(_keep_logs(head))
    head_process.remove(Path(head.folder))
    path.unlink(missing_ok=True)
    return lived


def _keep_logs(head: Head) -> list[str]:
    """Keep what the jobs of a head have said; they lie in its folder even if it has died.

    Returns, for each log that cannot be kept, why.
    """
    lost: list[str] = []
    for name, file in head_process.logs(Path(head.folder)):
        try:
            save(folder("logs") / name, file.read_bytes())
        except (OSError, UsageError) as error:  # the disk may be full, and the head must end
            lost.append(str(error))
    return lost


def _warn_of(lost: list[str]) -> None:
    if lost:
        _LOG.warning("%d logs of the local cluster's jobs are not kept: %s", len(lost), lost[0])


def _state_file(prefix: str = sys.prefix, inode: int | None = None) -> Path:
    number = _inode(prefix) if inode is None else inode
    key = hashlib.sha256(f"{prefix}\0{number}".encode()).hexdigest()[:12]
    return orch_home() / "local" / f"{key}.json"


def _remembered(path: Path) -> Head | None:
    return state_file.read(path, partial(made_of, Head))


def _inode(prefix: str) -> int:
    try:
        return Path(prefix).stat().st_ino
    except FileNotFoundError:
        return 0
