"""What a supervisor does at a stop for a driver that does not hear it, as one that is frozen.

Such a driver asks no workers to save, and says nothing about the end before Ray kills it together
with its supervisor. That it was heard is seen in the run's folder, as everything is here.
"""

import os
import threading
import time
from collections.abc import Callable

from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.store.search_folder import SearchFolder

HEAR_SECONDS = 5.0
"""How long a driver may take until it has asked its workers to save and end."""
LOOK_SECONDS = 0.5
QUIET_SECONDS = 5.0
"""The workers have ended that have saved and then nothing more for so long."""
TELL_SECONDS = 5.0
"""How long before Ray kills the supervisor the driver is killed, to say how the run ended."""
USUAL_WAIT_SECONDS = 60.0


class Deputy:
    """Asks a run's workers to save when its driver does not, and then kills that driver.

    A driver that has heard the stop has all the time that Ray gives it, but for TELL_SECONDS.
    is_running: whether it has not ended. kill: kills it then.
    """

    def __init__(
        self, folder: RunFolder, is_running: Callable[[], bool], kill: Callable[[], None]
    ) -> None:
        self._folder, self._is_running, self._kill = folder, is_running, kill

    def begin(self) -> None:
        """Begin to watch, once the stop was passed on to the driver; return at once."""
        wait = float(os.environ.get("RAY_JOB_STOP_WAIT_TIME_S", USUAL_WAIT_SECONDS))
        for seconds, act in ((HEAR_SECONDS, self._help), (wait - TELL_SECONDS, self._kill)):
            timer = threading.Timer(max(seconds, 0.0), act)
            timer.daemon = True
            timer.start()

    def _help(self) -> None:
        """Ask the workers if nobody has, and kill the driver once they have saved.

        The groups of a search save each in its own time, so all of that is left to them.
        """
        before = self._newest()
        while (asked := self._ask()) is None:
            time.sleep(LOOK_SECONDS)
        last, since = before, time.monotonic()
        while asked and self._is_running():
            time.sleep(LOOK_SECONDS)
            if (now := self._newest()) != last:
                last, since = now, time.monotonic()
            elif now != before and time.monotonic() > since + QUIET_SECONDS:
                self._kill()
                return

    def _ask(self) -> bool | None:
        """Ask the workers to save and end; return whether they are a run's and were not asked yet.

        None where the storage does not answer.
        """
        try:
            if not self._is_running() or self._folder.stop_is_asked():
                return False
            trials = [run for run in SearchFolder(self._folder).runs() if not run.result.exists()]
            for folder in (*trials, self._folder):
                folder.ask_to_stop()
        except OSError:
            return None
        return not trials

    def _newest(self) -> Reached | None:
        """Return the newest checkpoint; None where none is seen."""
        try:
            return self._folder.newest()
        except OSError:
            return None
