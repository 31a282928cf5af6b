"""The objects of a bucket: list, read, write, remove; what is cut on its way is asked for again."""

import contextlib
import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.job.paths import SCHEME
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.s3_client import asking

LARGE = 8 << 20
"""Objects of so many bytes are sent in parts, several at once."""
CHUNK = 1 << 20
"""How many bytes are read at once."""
CUTS = 20
"""How often a body may be cut before its object is given up."""
PAUSE_SECONDS = 0.2


class Object(NamedTuple):
    """What a list says of an object.

    size: in bytes. written: when, in seconds since 1970. tag: another one for other content.
    """

    key: str
    size: int
    written: float
    tag: str


class Part(NamedTuple):
    """The content of an object, and the tag by which it is recognized."""

    content: bytes
    tag: str


@dataclass(frozen=True)
class Bucket:
    """A bucket. All methods raise StorageTrouble, some also FileNotFoundError or Changed."""

    name: str

    def uri(self, key: str) -> str:
        """Return the address of an object as people write it."""
        return f"{SCHEME}{self.name}/{key}"

    def objects(self, prefix: str) -> Iterator[Object]:
        """Yield the objects whose keys begin with a prefix, by key."""
        for page in self._pages(prefix):
            for one in page.get("Contents", ()):
                yield Object(one["Key"], one["Size"], one["LastModified"].timestamp(), one["ETag"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix up to their next `/`, each once."""
        for page in self._pages(prefix, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                yield one["Prefix"]

    def _pages(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        while True:
            with asking(self.uri(prefix)) as s3:
                found = s3.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            yield found
            if not found["IsTruncated"]:
                return
            more["ContinuationToken"] = found["NextContinuationToken"]

    def find(self, key: str) -> Object | None:
        """Return an object, None if there is none."""
        try:
            with asking(self.uri(key)) as s3:
                found = s3.head_object(Bucket=self.name, Key=key)
        except FileNotFoundError:
            return None
        at = found["LastModified"].timestamp()
        return Object(key, found["ContentLength"], at, found["ETag"])

    def chunks(self, key: str, tag: str | None = None) -> Iterator[bytes]:
        """Yield the content of an object; a body that is cut is gone on with where it was.

        Raises Changed where the object has not this tag, or gets another one meanwhile.
        """
        from botocore.exceptions import BotoCoreError

        done, cuts = 0, 0
        same = {"IfMatch": tag} if tag else {}
        while True:
            rest = {"Range": f"bytes={done}-"} if done else {}
            with asking(self.uri(key)) as s3:
                answer = s3.get_object(Bucket=self.name, Key=key, **rest, **same)
            size, same = done + answer["ContentLength"], {"IfMatch": answer["ETag"]}
            try:
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    done += len(chunk)
                    yield chunk
            except BotoCoreError as error:
                cuts += 1
                if cuts > CUTS:
                    raise StorageTrouble(f"{self.uri(key)}: cut {cuts} times: {error}") from error
                time.sleep(PAUSE_SECONDS)
            if done == size:
                return

    def read(self, key: str) -> Part:
        """Return the content of a small object."""
        from botocore.exceptions import BotoCoreError

        for _ in range(CUTS):
            with asking(self.uri(key)) as s3:
                answer = s3.get_object(Bucket=self.name, Key=key)
            with contextlib.suppress(BotoCoreError):
                return Part(answer["Body"].read(), answer["ETag"])
            time.sleep(PAUSE_SECONDS)
        raise StorageTrouble(f"{self.uri(key)}: cut {CUTS} times")

    def write(self, key: str, content: bytes) -> None:
        """Replace an object."""
        with asking(self.uri(key)) as s3:
            if len(content) < LARGE:
                s3.put_object(Bucket=self.name, Key=key, Body=content)
            else:
                s3.upload_fileobj(io.BytesIO(content), self.name, key)

    def write_after(self, key: str, content: bytes, tag: str | None) -> str:
        """Replace an object that has a tag, or make one that is new; return the new tag.

        Raises Changed where it has another tag, is there or is gone.
        """
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with asking(self.uri(key)) as s3:
            answer = s3.put_object(Bucket=self.name, Key=key, Body=content, **condition)
        return str(answer["ETag"])

    def copy(self, key: str, new: str) -> None:
        """Copy an object within the bucket."""
        with asking(self.uri(key)) as s3:
            s3.copy({"Bucket": self.name, "Key": key}, self.name, new)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, if they are there."""
        for key in keys:
            with asking(self.uri(key)) as s3:
                s3.delete_object(Bucket=self.name, Key=key)

    def abort_uploads(self, prefix: str) -> None:
        """Give up the uploads in parts that nobody has finished: they cost money and are unseen."""
        with asking(self.uri(prefix)) as s3:
            found = s3.list_multipart_uploads(Bucket=self.name, Prefix=prefix)
            for one in found.get("Uploads", ()):
                named = {"Key": one["Key"], "UploadId": one["UploadId"]}
                s3.abort_multipart_upload(Bucket=self.name, **named)
