"""`python` for the processes of a job: it runs a program in a fork that has its libraries loaded.

    python -IS orchestrator/warm/python.py PROGRAM ARGUMENT ...
    python -IS orchestrator/warm/python.py -m MODULE ARGUMENT ...

Each process of a job imports Ray and PyTorch, seconds of a processor's time. This program asks the
node's server to fork instead (`orchestrator.warm.server`), which it starts when there is none, and
stands in for the forked process: it passes signals on, ends with the same exit code, and takes it
along when it is killed. Wherever that cannot be, it becomes plain Python.

It is a script that imports nothing of ours: importing orchestrator would cost what it saves.
"""

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERVER = Path(__file__).with_name("server.py")
LIBRARIES = (
    *("torch", "torch._dynamo", "torch._inductor.config", "pandas", "pyarrow"),
    "mlflow.store.tracking.sqlalchemy_store",
)
"""What the processes of a job load, but for Ray; torch's compiler comes with its optimizers."""
RAY = ("ray._private.workers.default_worker", "decord")
"""Ray, and what has to be loaded after it: decord brings a C++ library that Ray does not bear.

Not Ray Train: as it is imported, it seeds the generator of Ray's random ids, and two processes of a
job would give the same id to two placement groups.
"""
READY_SECONDS = 60.0
"""How long a server may take to load the libraries, on a node that is busy."""
EACH_ITS_OWN = frozenset(
    {
        *("PWD", "OLDPWD", "SHLVL", "_", "PYTHONPATH", "PYTHONBREAKPOINT", "SPT_NOENV"),
        *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "ORCH_SECRETS_FILE"),
        *("RAY_ADDRESS", "RAY_CLIENT_MODE", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_JOB_ID"),
        *("RAY_RAYLET_PID", "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC", "RAY_worker_niceness"),
        "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES",
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES",
    }
)
"""Variables that differ between the processes of a job, or from job to job, and that no library
reads when it is imported. All others are the same in a server and in what it forks."""
INHERITED = frozenset({"Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "Cpus_allowed"})
"""Lines of /proc/self/status."""
UNKNOWN = 75
"""The exit code that lets `orchestrator.train.supervise` start another driver, which will see."""
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: list[str]) -> int:
    """Run a program in a forked process and return its exit code, or become plain Python."""
    try:
        server = _connection()
        child = _forked(server, arguments)
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])
    return _wait(server, child)


def _forked(server: socket.socket, arguments: list[str], *more_files: int) -> int:
    """Return the id of a new process. Raises OSError when there is none.

    more_files: descriptors it gets, whose numbers are its last arguments. Nobody waits for it
    then, and it has no input and output: it would hold those of this process open.
    """
    server.settimeout(READY_SECONDS)
    _received(server, 1)
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "stays": bool(more_files),
    }
    data = json.dumps(request).encode()
    with Path(os.devnull).open("r+b", buffering=0) as null:
        files = [null.fileno()] * 3 if more_files else [0, 1, 2]
        socket.send_fds(server, [len(data).to_bytes(4)], [*files, *more_files])
    server.sendall(data)
    if (child := int.from_bytes(_received(server, 4), signed=True)) < 0:
        raise ChildProcessError("it was killed before it could run the program")
    return child


def _wait(server: socket.socket, child: int) -> int:
    """Pass signals on until the process has ended; return its exit code, or end by its signal.

    A server that is killed takes the code with it: then it is UNKNOWN.
    """
    for number in PASSED_ON:
        signal.signal(number, lambda given, _: _send(child, given))
    server.settimeout(None)
    try:
        code = int.from_bytes(_received(server, 4), signed=True)
    except ConnectionResetError:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(child)], [], [])
        return UNKNOWN
    if -code in PASSED_ON:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


def _send(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _received(server: socket.socket, size: int) -> bytes:
    """Return what the server says. Raises OSError when it has gone."""
    if len(data := server.recv(size, socket.MSG_WAITALL)) < size:
        raise ConnectionResetError
    return data


def _connection() -> socket.socket:
    """Return a connection to the server for this process, started if need be. Raises OSError."""
    if job := os.environ.get("RAY_JOB_ID"):
        return _server(f"{_kind()}-{os.environ['RAY_RAYLET_PID']}-{job}", _start_for_job)
    return _server(_kind(), _start)


def _server(name: str, start: Callable[[int], object]) -> socket.socket:
    address = f"\0orch-warm-{name}"
    with contextlib.suppress(ConnectionRefusedError):
        return _connected(address)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:  # another process was faster
            return _connected(address)
        listener.listen(128)
        start(listener.fileno())
    return _connected(address)


def _start(listener: int) -> None:
    """Start the server with everything but Ray, which reads its job's name when it is loaded.

    As nobody's child, since Ray's workers end theirs. Raises BlockingIOError: who starts it does
    not wait for it.
    """
    if between := os.fork():
        os.waitpid(between, 0)
        raise BlockingIOError("the server loads its libraries")
    try:
        subprocess.Popen(
            [sys.executable, str(SERVER), *LIBRARIES, str(listener)],
            env=_common("RAY_RAYLET_PID"),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener],
            process_group=0,
        )
    finally:  # this process must not go on to run the program
        os._exit(0)


def _start_for_job(listener: int) -> None:
    """Start the server of one Ray job as a fork of the other."""
    with _server(_kind(), _start) as server:
        _forked(server, [str(SERVER), *RAY], listener)


def _connected(address: str) -> socket.socket:
    """Raises OSError unless a server of the same user listens there."""
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
        _, user, _ = _credentials(server)
        if user != os.getuid():
            raise PermissionError(address)
    except OSError:
        server.close()
        raise
    return server


def _credentials(peer: socket.socket) -> tuple[int, ...]:
    """Return the process, user and group at the other end."""
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return tuple(memoryview(found).cast("i"))


def _kind() -> str:
    """Return a name for all processes that one server can serve: same place, Python, settings."""
    spaces = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("mnt", "pid")]
    common = sorted(_common().items())
    about = [spaces, sys.executable, LIBRARIES, _inherited(), SERVER.read_text(), common]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _common(*more: str) -> dict[str, str]:
    """Return the variables that a server shares with what it forks, and more.

    LD_PRELOAD decides what a process loads before Python begins; an empty one is none.
    """
    names = os.environ.keys() - (EACH_ITS_OWN - {*more})
    return {name: os.environ[name] for name in names if os.environ[name] or name != "LD_PRELOAD"}


def _inherited() -> list[str]:
    """Return what a process has from its parent besides its environment: user, limits, masks."""
    status = Path("/proc/self/status").read_text().splitlines()
    found = [line for line in status if line.partition(":")[0] in INHERITED]
    return [str(os.nice(0)), Path("/proc/self/limits").read_text(), *found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
