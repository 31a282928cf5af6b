"""An object of S3, or some of its bytes, brought here whole, however bad the way is.

A body that is cut is gone on with where it was. While the storage does not answer, or answers that
it is busy, the reader waits; it gives up when nothing has come for long. What has come is compared
with what S3 says of the object: its CRC-32, or its tag, which mostly is its MD5.
"""

import base64
import hashlib
import random
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.store.cache import Damaged
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.s3_bucket import CHUNK, Bucket
from orchestrator.store.s3_client import Changed, asking, longest_request
from orchestrator.store.s3_retry import may_pass

PATIENCE_SECONDS = 900.0
"""How long nothing may come before an object is given up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
"""Before the storage is asked again, in seconds: a pause is drawn from 0 to its longest."""
_MD5 = re.compile(r"[0-9a-f]{32}")


def longest_wait() -> float:
    """Return how many seconds may pass, while nothing comes, until an object is given up."""
    return PATIENCE_SECONDS + LONGEST_PAUSE + longest_request()


@dataclass
class Remote:
    """Bytes of an object.

    span: the first and the last one, both included; None: all of them. tag: what the last answer
    called the content of the object, "" before the first one. total: how many bytes it then had.
    """

    bucket: Bucket
    key: str
    span: tuple[int, int] | None = None
    tag: str = ""
    total: int = 0
    _other_md5: set[str] = field(default_factory=set)

    def begin(self) -> "Body":
        """Ask for the object. Raises FileNotFoundError or StorageTrouble."""
        answer = self._asked(0, _Patience(), {})
        self.tag, size = answer["ETag"], answer["ContentLength"]
        self.total = int(answer.get("ContentRange", f"/{size}").rpartition("/")[2])
        if self.span and size != self.span[1] - self.span[0] + 1:
            where = self.bucket.uri(self.key)
            raise StorageTrouble(f"{where}: {size} bytes came for {_range(*self.span)}")
        return Body(self, answer, size)

    def _asked(self, done: int, patience: "_Patience", same: dict[str, str]) -> Any:
        """Ask for the bytes behind the first ones."""
        first, last = self.span or (0, None)
        given = {} if not (first + done) and last is None else {"Range": _range(first + done, last)}
        while True:
            try:
                with asking(self.bucket.uri(self.key), PATIENCE_SECONDS) as s3:
                    named = {"Bucket": self.bucket.name, "Key": self.key}
                    return s3.get_object(**named, **given, **same, ChecksumMode="ENABLED")
            except StorageTrouble as error:
                if not may_pass(error.__cause__):
                    raise
                patience.pause(str(error))

    def check(self, answer: Any, crc: int, md5: str) -> None:
        """Raise Damaged where an object has not the checksum that the storage names."""
        if self.span:
            return
        if (said := answer.get("ChecksumCRC32")) and "-" not in said:
            if base64.b64decode(said) != crc.to_bytes(4):
                raise Damaged
            return
        tag = answer["ETag"].strip('"')
        if _MD5.fullmatch(tag) and tag != md5 and md5 not in self._other_md5:
            self._other_md5.add(md5)  # the tag of some encrypted objects only looks like an MD5:
            raise Damaged  # what arrives twice the same is right


@dataclass
class Body:
    """Bytes on their way. size: how many there are."""

    _remote: Remote
    _answer: Any
    size: int

    def __iter__(self) -> Iterator[bytes]:
        """Yield them. Raises Damaged where they are not what was sent, and StorageTrouble."""
        from botocore.exceptions import BotoCoreError, FlexibleChecksumError

        first, patience = self._answer, _Patience()
        answer, done, crc, md5 = first, 0, 0, hashlib.md5(usedforsecurity=False)
        while True:
            why = "the connection was cut"
            try:
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    done, crc = done + len(chunk), zlib.crc32(chunk, crc)
                    md5.update(chunk)
                    patience.begin()
                    yield chunk
            except FlexibleChecksumError as error:
                raise Damaged from error
            except BotoCoreError as error:
                why = str(error)
            if done >= self.size:
                break
            patience.pause(f"{self._remote.bucket.uri(self._remote.key)}: {why}")
            try:
                answer = self._remote._asked(done, patience, {"IfMatch": first["ETag"]})
            except Changed as error:
                raise Damaged from error
        self._remote.check(first, crc, md5.hexdigest())


class _Patience:
    """Pauses between requests, longer from one to the next."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Note that something came."""
        self._since, self._longest = time.monotonic(), FIRST_PAUSE

    def pause(self, trouble: str) -> None:
        """Wait. Raises StorageTrouble when nothing has come for too long."""
        waited = time.monotonic() - self._since
        if waited > PATIENCE_SECONDS:
            raise StorageTrouble(f"{trouble}; waited for {waited:.0f} seconds")
        time.sleep(random.random() * self._longest)
        self._longest = min(2 * self._longest, LONGEST_PAUSE)


def _range(first: int, last: int | None) -> str:
    return f"bytes={first}-{'' if last is None else last}"
