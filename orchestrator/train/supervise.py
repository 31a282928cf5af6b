"""The entry point of a job: it starts the job's driver, and another one when that was killed.

    python -m orchestrator.train.supervise run.json COMMAND ...

The command gets `run.json` as its last argument. A driver that ends by itself has said how the run
ended: a mistake would only happen again. One that was killed could not say anything, and the next
one continues from the last checkpoint. Neither PyTorch nor Ray is loaded here.
"""

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from orchestrator import handover
from orchestrator.errors import JobFailed
from orchestrator.events import Event, Failed, Stopped, warn
from orchestrator.run_facts import end_of, tell
from orchestrator.shipment import Shipment
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import job_log
from orchestrator.train.deputy import Deputy
from orchestrator.train.losses import Checkpoints, Losses, Trials
from orchestrator.train.notifier import Notifier, Wanted

AGAIN = 75
"""The exit code of a driver that asks for another one, as the one of the system's EX_TEMPFAIL."""

WAIT_SECONDS = 1.0
"""Before a driver is started again, and twice as long after each further loss without progress."""
LONGEST_WAIT_SECONDS = 30.0
STOPPED = "Stopped on request; what was done is saved; `orch resume` continues from there."
CUT_SHORT = (
    "Stopped on request; the driver ended before it could say what was saved; `orch resume` "
    "continues from the last checkpoint, if there is one."
)

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


class Supervisor:
    """Runs the drivers of one attempt of a run, one after another."""

    def __init__(self, given: Shipment, file: Path, command: Sequence[str]) -> None:
        """file: what each driver gets, beside which it leaves why it asks for another one."""
        self._folder = RunFolder(given.run_dir)
        allowed = int(given.job["cluster"]["max_failures"])
        gain = (Trials if given.job.get("search") else Checkpoints)(self._folder)
        whose = "The driver of the run was"
        self._losses = Losses(given.run, self._folder, allowed, whose, gain)
        self._reason = _reason_beside(file)
        self._command = [*command, str(file)]
        self._driver: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Run drivers until one ends by itself, or too many are lost; return the exit code."""
        signal.signal(signal.SIGTERM, self._pass_on)
        while True:
            code = self._run_driver()
            if code >= 0 and code != AGAIN:
                return code
            if self._is_stopping():
                return self._stopped()
            try:
                self._lose(code)
            except JobFailed as error:
                return error.exit_code
            self._wait(min(WAIT_SECONDS * 2 ** (self._losses.count - 1), LONGEST_WAIT_SECONDS))
            if self._is_stopping():
                return self._stopped()

    def _stopped(self) -> int:
        """Say how a run ended whose driver could not, and return the exit code."""
        end = end_of(self._folder)
        self._say(end or Stopped(message=CUT_SHORT))
        return 0 if end else 1

    def _run_driver(self) -> int:
        self._driver = subprocess.Popen(self._command, preexec_fn=_die_with_parent)
        if self._stopping:
            self._driver.terminate()
        code = self._driver.wait()
        # While it connects to its cluster the signal is Ray's, which ends it in both ways.
        return -code if code == signal.SIGTERM else code

    def _lose(self, code: int) -> None:
        """Report the loss of a driver, in its log. Raises JobFailed after too many."""
        with _logged():
            try:
                self._losses.add(self._why(code))
            except JobFailed as error:
                tell(self._folder, Failed(message=str(error), exit_code=error.exit_code))
                raise

    def _why(self, code: int) -> str:
        """Return why a driver was lost. What it left about that is for this time only."""
        said = ""
        with contextlib.suppress(OSError):
            said = self._reason.read_text(encoding="utf-8")
            self._reason.unlink()
        return (code == AGAIN and said) or why(code)

    def _say(self, event: Event) -> None:
        with _logged():
            tell(self._folder, event)

    def _wait(self, seconds: float) -> None:
        """Wait, unless a stop comes: a signal does not end a sleep."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._is_stopping():
            time.sleep(0.05)

    def _is_stopping(self) -> bool:
        return self._stopping

    def _pass_on(self, number: int, _frame: object) -> None:
        first, self._stopping = not self._stopping, True
        if self._driver:
            self._driver.send_signal(number)
        if first:
            Deputy(self._folder, self._is_running, self._kill).begin()

    def _is_running(self) -> bool:
        """Return whether there is a driver that has not ended."""
        return self._driver is not None and self._driver.returncode is None

    def _kill(self) -> None:
        """Kill a driver that does not end by itself, and with it its workers."""
        if self._driver:
            self._driver.kill()


@contextmanager
def _logged() -> Iterator[None]:
    """Let what is said go through the job's log, which belongs to the drivers otherwise."""
    with redirect_stdout(sys.stdout), redirect_stderr(sys.stderr):
        job_log.install()
        yield


def ask_for_another(file: Path, reason: str) -> int:
    """Leave, as a driver, why another one is needed, beside what it was given.

    That is on its own machine, so it is there when the run's storage is not. Returns its exit code.
    """
    with contextlib.suppress(OSError):  # the disk may be full
        _reason_beside(file).write_text(reason, encoding="utf-8")
    return AGAIN


def _reason_beside(file: Path) -> Path:
    return file.with_name(f"lost-by-{file.stem}.txt")


def why(code: int) -> str:
    """Return why a driver was lost."""
    if code == AGAIN:
        return "What the driver needs was lost; the job's log says what."
    return (
        f"The driver's process was killed ({_signal(-code)}; the system also kills "
        "processes when memory runs out)."
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the nameless real-time signals
        return f"signal {number}"


def _die_with_parent() -> None:
    """Let this process be killed when its parent is: a run has one driver at a time."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def main(file: str, command: Sequence[str]) -> int:
    """Run the drivers of what a file describes; return the exit code."""
    handover.take_up()
    given = Shipment.read(Path(file))
    notifier = _notifier(given)
    try:
        return Supervisor(given, Path(file), command).run()
    finally:
        if notifier:
            _warn_of(notifier.finish())
        handover.remove()


def _warn_of(troubles: Sequence[str]) -> None:
    with _logged():
        for trouble in troubles:
            warn(trouble)


def _notifier(given: Shipment) -> Notifier | None:
    """Return what posts how the run goes, if its job asks for it."""
    if (events := job_log.kept_events()) is None:
        return None
    with _logged():
        wanted = Wanted.of(given.job)
    return Notifier(given.run, wanted, events) if wanted else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
