"""The server behind `orchestrator.warm.python`: it loads the libraries once, and forks.

    python orchestrator/warm/server.py LIBRARY ... FILE_DESCRIPTOR

The descriptor is that of a listening socket. The server takes no more requests when the node's
raylet has gone, packages were installed, or nobody has asked for long, and ends with the last
process that it forked. It loads nothing of ours, since each job brings its own code.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

IDLE_SECONDS, IDLE_SECONDS_OF_A_JOB = 600.0, 10.0
LOOK_SECONDS = 2.0
"""How often it looks whether the raylet is alive."""
REQUEST_SECONDS = 10.0
"""How long a request may take to arrive once it has begun."""


@dataclass(frozen=True)
class Request:
    """What a forked process shall become. files: its standard input, output and error."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    stays: bool
    files: list[int]


@dataclass(frozen=True)
class Child:
    """A forked process. ended: a descriptor that can be read once it has; peer: who waits."""

    pid: int
    ended: int
    peer: socket.socket | None


@dataclass
class Server:
    """Forks for whoever connects."""

    listener: socket.socket
    installed: list[int]
    children: list[Child] = field(default_factory=list)
    served: float = field(default_factory=time.monotonic)

    def serve(self) -> Request | None:
        """Fork for each request; return it in the forked process, and None when all is over."""
        while self._listens() or self.children:
            waits_for: list[int | socket.socket] = [child.ended for child in self.children]
            waits_for += [child.peer for child in self.children if child.peer]
            waits_for += [self.listener] if self._listens() else []
            ready, _, _ = select.select(waits_for, [], [], LOOK_SECONDS)
            for child in [*self.children]:
                self._look_after(child, ready)
            if self.listener in ready and self._listens() and (request := self._answer()):
                return request
        return None

    def _listens(self) -> bool:
        """Return whether it still takes requests. Once it does not, another server may."""
        if self.children:
            self.served = time.monotonic()
        raylet = os.environ.get("RAY_RAYLET_PID")
        idle = IDLE_SECONDS_OF_A_JOB if "RAY_JOB_ID" in os.environ else IDLE_SECONDS
        if (
            time.monotonic() - self.served > idle
            or (raylet and not Path(f"/proc/{raylet}").exists())
            or _installed() != self.installed
        ):
            self.listener.close()
        return self.listener.fileno() >= 0

    def _look_after(self, child: Child, ready: list[int | socket.socket]) -> None:
        """Report a process that has ended; end one that nobody waits for any more."""
        if child.ended not in ready:
            if child.peer and child.peer in ready:
                os.kill(child.pid, signal.SIGKILL)
                child.peer.close()
                self.children[self.children.index(child)] = replace(child, peer=None)
            return
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        os.close(child.ended)
        self.children.remove(child)
        if child.peer:
            with contextlib.suppress(OSError), child.peer:
                child.peer.sendall(code.to_bytes(4, signed=True))

    def _answer(self) -> Request | None:
        """Take one request and fork; return the request in the forked process only."""
        peer, _ = self.listener.accept()
        files: list[int] = []
        try:
            request = _received(peer, files)
            pid = os.fork()
        except (OSError, ValueError):
            _close(files)
            peer.close()
            return None
        if pid == 0:
            self._leave(peer)
            return request
        _close(files)
        if request.stays:
            peer.close()
        self.children.append(Child(pid, os.pidfd_open(pid), None if request.stays else peer))
        return None

    def _leave(self, peer: socket.socket) -> None:
        """Tell the peer the id of this forked process, and close the server's connections.

        The peer hears it from whom it is about: so a program never runs unknown to the peer, which
        would run it again.
        """
        peer.sendall(os.getpid().to_bytes(4, signed=True))
        peer.close()
        self.listener.close()
        for child in self.children:
            os.close(child.ended)
            if child.peer:
                child.peer.close()


def _received(peer: socket.socket, files: list[int]) -> Request:
    """Say that the server is ready, and read a request. Raises OSError and ValueError.

    files: gets the descriptors that came, also when it raises.
    """
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = memoryview(credentials).cast("i")
    if user != os.getuid():
        raise PermissionError("any user of the machine can connect")
    peer.settimeout(REQUEST_SECONDS)
    peer.sendall(b"!")
    size, received, _, _ = socket.recv_fds(peer, 4, 4)
    files += received
    with peer.makefile("rb") as stream:
        request = Request(files=files, **json.loads(stream.read(int.from_bytes(size))))
    if len(files) != 3 + request.stays:
        raise ValueError("this process may not open as many files")
    return request


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def _installed() -> list[int]:
    """Return when packages were last installed where Python looks for them."""
    folders = [Path(name) for name in sys.path if name.endswith("-packages")]
    return [folder.stat().st_mtime_ns for folder in folders if folder.exists()]


def become(request: Request) -> None:
    """Take on what a request says, and run its program as `__main__`."""
    os.setpgid(0, 0)
    for number, file in enumerate(request.files[:3]):
        os.dup2(file, number)
        os.close(file)
    arguments = request.arguments + [str(file) for file in request.files[3:]]
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    _draw_anew()
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    program, *rest = arguments
    if program == "-m":
        sys.path.insert(0, request.folder)
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(program).parent))
        sys.argv = arguments
        runpy.run_path(program, run_name="__main__")


def _draw_anew() -> None:
    """Seed the random numbers that nobody seeds: each process has its own. Python's has done so."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()


def main(libraries: list[str], descriptor: int) -> None:
    """Load libraries and serve until nobody needs it; in a forked process, run its program.

    Raises OSError where the system cannot say that a process has ended.
    """
    os.close(os.pidfd_open(os.getpid()))
    sys.path.pop(0)
    installed = _installed()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a fork cannot use a CUDA that was asked
    for library in libraries:
        with contextlib.suppress(ImportError):  # then nothing of the job needs it
            importlib.import_module(library)
    gc.collect()
    gc.freeze()
    if request := Server(socket.socket(fileno=descriptor), installed).serve():
        become(request)


if __name__ == "__main__":
    main(sys.argv[1:-1], int(sys.argv[-1]))
