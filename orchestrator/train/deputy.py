"""What a supervisor does at a stop for a driver that does not hear it, as one that is frozen.

Such a driver asks no workers to save, and says nothing about the end before Ray kills it together
with its supervisor. That it was heard is seen in the run's folder, as everything is here.
"""

import os
import threading
import time
from collections.abc import Callable

from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder

HEAR_SECONDS = 5.0
"""How long a driver may take until it has asked its workers to save and end."""
LOOK_SECONDS = 0.5
TELL_SECONDS = 5.0
"""How long before Ray kills the supervisor the driver is killed, to say how the run ended."""
USUAL_WAIT_SECONDS = 60.0


class Deputy:
    """Asks a run's workers to save when its driver does not, and kills a driver that does not end.

    A driver and its workers have all the time that Ray gives them, but for TELL_SECONDS: nobody
    here can know when the workers have saved all that they will.
    is_running: whether the driver has not ended. kill: kills it then.
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
        """Ask the workers if nobody has, as soon as the storage answers."""
        while not self._asked():
            time.sleep(LOOK_SECONDS)

    def _asked(self) -> bool:
        """Ask the workers to save and end, if need be; return False where the storage is away."""
        try:
            if self._is_running() and not self._folder.stop_is_asked():
                trials = (
                    run for run in SearchFolder(self._folder).runs() if not run.result.exists()
                )
                for folder in (*trials, self._folder):
                    folder.ask_to_stop()
        except OSError:
            return False
        return True
