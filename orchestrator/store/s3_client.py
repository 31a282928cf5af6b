"""The client of S3, and what its errors mean to a user.

Endpoint, region and credentials are boto3's own business: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, the
files in ~/.aws, the role of a machine. AWS_MAX_ATTEMPTS says how often each request is tried: jobs
have more patience than a person who waits for an answer. AWS_RETRY_MODE has no effect.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from orchestrator import outage
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.s3_retry import LONGEST_PAUSE, Patience

ATTEMPTS = 3
CONNECT_SECONDS, READ_SECONDS = 10, 60
_SETTINGS: dict[str, object] = {
    "retries": {"mode": "standard", "total_max_attempts": 1},
    "connect_timeout": CONNECT_SECONDS,
    "read_timeout": READ_SECONDS,
    "max_pool_connections": 64,
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
"""Those of the client. `Patience` repeats requests; each thread that loads has a connection. Not
everyone who speaks the language of S3 knows its checksums of every request, so they are left out
where they can be; a checkpoint has its own."""

_ABSENT = ("404", "NoSuchKey")
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_WRONG_CREDENTIALS = (
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"),
    *("ExpiredToken", "TokenRefreshRequired"),
)
_NO_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("ProfileNotFound", "TokenRetrievalError", "SSOTokenLoadError"),
)
_HOW = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or put them into "
    "~/.aws/credentials"
)


class Changed(Exception):
    """The object is not the one that the request was about: somebody else was first."""


@cache
def client() -> Any:
    """Return the client of this process. Raises StorageTrouble for settings that cannot be used."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        patience = Patience(_attempts())
        s3 = boto3.session.Session().client("s3", config=Config(**_SETTINGS))
    except (BotoCoreError, ValueError) as error:
        raise StorageTrouble(f"S3 cannot be asked: {_of_client(error)}") from error
    patience.watch(s3)
    return s3


def longest_request() -> float:
    """Return how many seconds a request may take with all its attempts."""
    return _attempts() * (CONNECT_SECONDS + READ_SECONDS + LONGEST_PAUSE)


def _attempts() -> int:
    return int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS))


@contextmanager
def asking(place: str, patience: float = 0.0) -> Iterator[Any]:
    """Give the client; an error that it raises meanwhile becomes one that says what to do.

    place: the file or folder that is asked for, s3://... patience: seconds for which it is asked
    again and again; 0 if the client alone does that.
    Raises FileNotFoundError, Changed or StorageTrouble.
    """
    s3 = client()
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with outage.asked(place, patience):
            yield s3
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        if code in _ABSENT:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", place) from error
        if code in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
            raise Changed from error
        raise StorageTrouble(f"{place}: {_of_server(code, error, place)}") from error
    except BotoCoreError as error:
        raise StorageTrouble(f"{place}: {_of_client(error)}") from error


def _of_server(code: str, error: Any, place: str) -> str:
    bucket = place.split("/")[2]
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket}; create it"
    if code in _DENIED:
        return (
            f"access is denied; these credentials need the rights to list the bucket {bucket} and "
            "to get, put and delete objects in it, or are wrong"
        )
    if code in _WRONG_CREDENTIALS:
        return f"the credentials are not accepted ({code}); {_HOW}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"S3 answers {code} {status}: {error.response['Error'].get('Message', '')}".strip()


def _of_client(error: Exception) -> str:
    kind = type(error).__name__
    if kind in _NO_CREDENTIALS:
        return f"no credentials are found ({error}); {_HOW}"
    if isinstance(error, ValueError):
        return f"{error}; AWS_ENDPOINT_URL is a URL such as http://HOST:9000"
    return f"{error}; is AWS_ENDPOINT_URL right, and does its server run?"
