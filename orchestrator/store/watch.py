"""Look at something that is slow to look at, beside what must not wait."""

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 1.0


class Watch:
    """Says whether something is so, or was at the last look; the first answer is always fresh.

    look: may take long and raise OSError, which changes nothing.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._answer = False
        self._next: float | None = None
        self._looking: threading.Thread | None = None

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._next is None:
            self._try()
        elif now > self._next and not (self._looking and self._looking.is_alive()):
            self._looking = threading.Thread(target=self._try, daemon=True)
            self._looking.start()
        else:
            return self._answer
        self._next = now + LOOK_SECONDS
        return self._answer

    def _try(self) -> None:
        try:
            self._answer = self._look()
        except OSError:
            return
