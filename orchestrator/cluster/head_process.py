"""The processes of a local Ray head: start them, see whether they live, end them and no others.

The head's main process holds a lock on a file in its folder for as long as it lives. So
whether it is alive is certain, although process ids are reused.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.cluster import environment, ray_start
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.dashboard import WrongToken
from orchestrator.cluster.token import Token
from orchestrator.errors import Unreachable
from orchestrator.events import DRIVER_LOG, events_file

MARK = "ORCH_LOCAL_HEAD"
"""Environment variable that every process of a head inherits; its value is the head's folder."""
INSIDE_A_JOB = ("RAY_API_SERVER_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR")
"""Variables that name another cluster or a job on it."""
OTHER_TOKENS = ("RAY_AUTH_TOKEN",)
"""Variables that Ray prefers to RAY_AUTH_TOKEN_PATH."""
PREFIX = "orch-head-"
FIRST_PORT, LAST_PORT = 8265, 8365
START_SECONDS = 120.0
KILL_SECONDS = 5.0
STOP_SECONDS = 4.0
"""After SIGTERM. An idle head is gone in 3 s; one that has run a Ray Train job would hold on to a
detached actor for 30 s."""
TEMPORARY = "tmp"
LONGEST_BASE = 30
"""Ray adds up to 70 characters to its folder for unix sockets, whose paths end at 103."""


def make_folder() -> Path:
    """Return a new folder for a head, closed to other users, with a short path, and a token in it.

    The head and its jobs get a temporary folder inside it, which is removed with it.
    """
    base = tempfile.gettempdir()
    short = base if len(base) <= LONGEST_BASE else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=short))
    token = token_file(folder)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    (folder / TEMPORARY).mkdir(mode=0o700)
    return folder


def token_file(folder: Path) -> Path:
    """Return the file with the token that a head requires of everyone."""
    return folder / "token"


def start(folder: Path, port: int, num_cpus: int) -> None:
    """Start a Ray head whose dashboard listens on a port of 127.0.0.1.

    It writes its process id down itself: the process that starts it may be killed before it could.
    """
    gcs = free_port()
    command = [
        *("sh", "-c", 'echo $$ >pid && exec "$@"', "sh"),
        *(sys.executable, "-P", ray_start.__file__, "--head", "--block"),
        *("--node-ip-address=127.0.0.1", f"--port={gcs}", f"--num-cpus={num_cpus}"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"),
        *("--dashboard-agent-listen-port=0", f"--ray-client-server-port={free_port()}"),
        *("--disable-usage-stats", "--no-monitor", f"--temp-dir={folder / 'ray'}"),
    ]
    with (folder / "log").open("wb") as log, (folder / "alive").open("wb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(folder, gcs),
            start_new_session=True,
            pass_fds=[alive.fileno()],
        )
    process.returncode = 0  # it outlives this process; nothing waits for it


def wait_until_ready(folder: Path, url: str) -> str:
    """Wait until the head takes jobs; return its session's name.

    Raises Unreachable with the end of the head's log when it dies or takes too long, and at once
    when another head answers, for which Ray itself would wait half a minute.
    """
    client = ClusterClient(url, timeout=5, token=Token(token_file(folder)))
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if not is_alive(folder):
            raise Unreachable(f"The local Ray head ended while starting:\n{log_tail(folder)}")
        try:
            session = client.version()["session_name"]
            if client.capacity().nodes:
                return session
        except WrongToken as error:
            raise Unreachable(f"Another head answers at {url}.") from error
        except Unreachable:
            pass
        time.sleep(0.2)
    raise Unreachable(
        f"The local Ray head did not start within {START_SECONDS:.0f} s:\n{log_tail(folder)}"
    )


def is_alive(folder: Path) -> bool:
    """Return whether the main process of the head in this folder is alive."""
    try:
        with (folder / "alive").open("rb") as alive:
            fcntl.flock(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def end(folder: Path) -> bool:
    """End all processes of a head. Returns whether any was alive."""
    main = _main_process(folder)
    lived = is_alive(folder) or bool(processes(folder))
    if main and is_alive(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(main, signal.SIGTERM)
        _wait(lambda: not is_alive(folder), STOP_SECONDS)
    if main and is_alive(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main, signal.SIGKILL)
    _wait(lambda: not processes(folder), 1)
    _wait(lambda: not _killed(folder), KILL_SECONDS)
    return lived


def remove(folder: Path) -> None:
    """Remove the folder of a head that has ended."""
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def logs_folder(folder: Path) -> Path:
    """Return where Ray keeps the logs of a head."""
    return folder / "ray" / "session_latest" / "logs"


def logs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield what the jobs of a head have left on this node: the name of each file, and where it is.

    That is what a job's driver has printed, `ID.log`, and its events.
    """
    there = logs_folder(folder)
    for file in there.glob(f"{DRIVER_LOG}*.log"):
        yield file.name.removeprefix(DRIVER_LOG), file
    for file in there.glob(events_file("*")):
        yield file.name, file


def dashboard_port() -> int:
    """Return Ray's usual dashboard port, or the next free one."""
    for port in range(FIRST_PORT, LAST_PORT):
        if is_free(port):
            return port
    return free_port()


def is_free(port: int) -> bool:
    """Return whether nothing listens on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_tail(folder: Path, lines: int = 15) -> str:
    """Return the last lines that the head printed, without the frames of a traceback."""
    try:
        printed = (folder / "log").read_text(errors="replace").splitlines()
    except OSError:
        return "(it left no log)"
    return "\n".join([line for line in printed if not line.startswith("  ")][-lines:])


def processes(folder: Path) -> list[int]:
    """Return the living processes of a head (none on systems without /proc).

    They carry the head's mark. Ray overwrites the environment of some; these belong to the main
    process's session, even after it has ended, and hold a file in its folder open.
    """
    main = _main_process(folder)
    found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in found if pid != os.getpid() and _belongs(pid, folder, main)]


def _environment(folder: Path, gcs_port: int) -> dict[str, str]:
    """Return this environment, changed for a head that others cannot reach.

    RAY_ADDRESS names the workers' own cluster. Without it Ray Train asks whatever cluster
    /tmp/ray/ray_current_cluster names, dead or alive, and hangs for half a minute when it stops.

    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 lets Ray keep 127.0.0.1 as the node's address, so that no
    port is open to the network. Other users of this machine reach it nevertheless, and a job is a
    command that runs as the head's owner: so every process of the head asks for the head's token,
    which only its owner can read, and the jobs inherit where it is.

    Ray's workers are niced, so that they leave other users a machine they share; here a step would
    take a tenth longer for it. Whoever sets RAY_worker_niceness wants something else.

    What belongs to a job is left out, since each job brings its own.
    """
    foreign = INSIDE_A_JOB + OTHER_TOKENS
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in foreign and not environment.travels(key)
    }
    return (
        {"RAY_worker_niceness": "0"}
        | env
        | environment.no_proxy()
        | {
            MARK: str(folder),
            "RAY_ADDRESS": f"127.0.0.1:{gcs_port}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_file(folder)),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "NO_COLOR": "1",
            "TMPDIR": str(folder / TEMPORARY),
        }
    )


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.1)


def _killed(folder: Path) -> list[int]:
    """Kill the processes of a head and return them; some may have started others meanwhile."""
    found = processes(folder)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _main_process(folder: Path) -> int | None:
    """Return the process id that the head wrote down; another process may have it by now."""
    try:
        return int((folder / "pid").read_text())
    except (OSError, ValueError):
        return None


def _belongs(pid: int, folder: Path, main: int | None) -> bool:
    here = Path(f"/proc/{pid}")
    try:
        state, _, _, session = (here / "stat").read_text().rpartition(")")[2].split()[:4]
        if state == "Z":
            return False
        if f"{MARK}={folder}".encode() in (here / "environ").read_bytes().split(b"\0"):
            return True
        opened = [here / "cwd", *(here / "fd").iterdir()] if int(session) == main else []
        return any(link.readlink().is_relative_to(folder.resolve()) for link in opened)
    except OSError:  # it is another user's, or has just ended
        return False
