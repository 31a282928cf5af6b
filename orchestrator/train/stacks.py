"""Show what this process is doing: the stacks of its threads, for `orch stacks`.

A thread writes them every few seconds. It needs Python's lock, which gloo, NCCL and loaders give
back while they wait; a process that hangs with the lock in C code is shown by faulthandler's own
thread, which needs none.
"""

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import orchestrator
from orchestrator.rank_file import RankFile, file_name

FIRST_SECONDS = 0.2
"""When it begins: the thread that trains has left this module by then."""
BEAT_SECONDS = 2.0
COST_SHARE = 1000
"""At most a thousandth of a processor is spent on writing stacks."""
HANG_SECONDS = 20.0
"""How late the thread may be before faulthandler's own takes its place."""
LOG_PREFIX = "worker-"
"""How the files begin in which Ray keeps what its workers print."""


@contextlib.contextmanager
def shown(run: str, rank: int, world: int, trial: str = "") -> Iterator[None]:
    """Show what this process does, as a rank of a run, for as long as the block runs.

    Nothing happens where Ray does not keep the process's output in a file.
    """
    output = [log for log in map(_file_behind, (1, 2)) if log and log.name.startswith(LOG_PREFIX)]
    if not output:
        yield
        return
    now = time.time()
    told = RankFile(
        run=run,
        rank=rank,
        world=world,
        pid=os.getpid(),
        thread=threading.get_ident(),
        code=str(Path(orchestrator.__file__).parents[1]),
        output=tuple(log.name for log in output),
        began=now,
        seen=now,
        next_within=BEAT_SECONDS,
        trial=trial,
    )
    watch = _Watch(output[0].with_name(file_name(run, os.getpid())), told)
    watch.start()
    try:
        yield
    finally:
        watch.end()


def _file_behind(descriptor: int) -> Path | None:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


class _Watch(threading.Thread):
    """Writes the file of this process, until it ends. A full disk stops nothing but the news."""

    def __init__(self, path: Path, told: RankFile) -> None:
        super().__init__(name="orch-stacks", daemon=True)
        self._path = path
        self._told = told
        self._over = threading.Event()
        self._file: IO[bytes] | None = None

    def run(self) -> None:
        """Write the stacks, at intervals that follow from how long that takes."""
        pause = BEAT_SECONDS
        self._over.wait(FIRST_SECONDS)
        while not self._over.is_set():
            began = time.thread_time()
            with contextlib.suppress(OSError):
                self._write(replace(self._told, seen=time.time(), next_within=pause))
            pause = max(BEAT_SECONDS, COST_SHARE * (time.thread_time() - began))
            self._over.wait(pause)

    def end(self) -> None:
        """Write that the rank has left the run."""
        self._over.set()
        self.join()
        faulthandler.cancel_dump_traceback_later()
        with contextlib.suppress(OSError):
            self._replace(replace(self._told, seen=time.time(), ended=True)).close()
        if self._file:
            self._file.close()

    def _write(self, told: RankFile) -> None:
        file = self._replace(told, with_stacks=True)
        if self._file:
            self._file.close()
        self._file = file

    def _replace(self, told: RankFile, *, with_stacks: bool = False) -> IO[bytes]:
        """Replace the file, and return it open at its end."""
        scratch = self._path.with_suffix(".new")
        file = scratch.open("wb", buffering=0)
        file.write(told.head.encode())
        if with_stacks:
            faulthandler.dump_traceback(file)
            # Before the file is in place: Python's lock may be taken for good in any call.
            faulthandler.dump_traceback_later(told.next_within + HANG_SECONDS, file=file)
        scratch.replace(self._path)
        return file
