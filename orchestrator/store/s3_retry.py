"""When a request to S3 is repeated, and how long after.

boto3 repeats requests, too, but from a stock that all requests of a client share: trouble that
lasts soon spends it, and from then on the first failure of a request is nearly its last. Here each
request has all of its attempts, whatever became of the others.
"""

import random
from typing import Any

from orchestrator import outage

FIRST_PAUSE, SLOWER_PAUSE, LONGEST_PAUSE = 0.05, 1.0, 20.0
"""Before a second attempt, one that is asked for later, and any further one: at most, in seconds.
A pause is drawn from 0 to its longest, which doubles with each attempt."""

_STATUSES = (429, 500, 502, 503, 504, 509)
_SLOWER = ("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "429")
_CODES = (*_SLOWER, "RequestTimeout", "InternalError", "ServiceUnavailable", "BadDigest")


class Patience:
    """Repeats requests. attempts: how often each is tried in all."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def watch(self, client: Any) -> None:
        """Repeat requests of a client of S3, which does not repeat any itself."""
        client.meta.events.register("needs-retry.s3", self._pause)

    def _pause(
        self, attempts: int, response: Any, caught_exception: Exception | None, **_: object
    ) -> float | None:
        """Return after how many seconds a request is repeated that was tried so often; or None."""
        status, code = _answer(response)
        again = status in _STATUSES or code in _CODES or _is_of_connection(caught_exception)
        if again:
            outage.failed(f"S3 answers {status}" if status else "S3 does not answer")
        elif response is not None:
            outage.over()
        if not again or attempts >= self._attempts:
            return None
        first = SLOWER_PAUSE if code in _SLOWER else FIRST_PAUSE
        return random.random() * min(first * 2.0 ** (attempts - 1), LONGEST_PAUSE)


def may_pass(error: BaseException | None) -> bool:
    """Return whether a request that failed like this may succeed later."""
    said = getattr(error, "response", None)
    if not isinstance(said, dict):
        return isinstance(error, Exception) and _is_of_connection(error)
    status = said.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in _STATUSES or said.get("Error", {}).get("Code") in _CODES


def _answer(response: Any) -> tuple[int | None, str]:
    """Return the HTTP status of an answer and the code of its error, if there are any."""
    if response is None:
        return None, ""
    http, parsed = response
    return http.status_code, str(parsed.get("Error", {}).get("Code", ""))


def _is_of_connection(error: Exception | None) -> bool:
    """Return whether no answer came, or not all of it."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    return isinstance(error, NoConnection | HTTPClientError)
