"""A folder in a bucket of S3, or of anything that speaks its language.

A folder is whole once MARK is in it: it is written last and removed first. What has no MARK does
not count, and is swept away.
"""

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.job.paths import SCHEME
from orchestrator.store.folder import MARK, StorageTrouble
from orchestrator.store.s3_bucket import Bucket
from orchestrator.store.s3_lines import S3Lines
from orchestrator.store.watch import Watch


@dataclass(frozen=True)
class S3Folder:
    """A `Folder` in a bucket. prefix: what the keys of its objects begin with, without the `/`."""

    bucket: Bucket
    prefix: str

    @classmethod
    def at(cls, uri: str) -> "S3Folder":
        """Return the folder of a URI s3://bucket/prefix."""
        bucket, _, prefix = uri.removeprefix(SCHEME).partition("/")
        return cls(Bucket(bucket), prefix.strip("/"))

    def __str__(self) -> str:
        return self.bucket.uri(self.prefix)

    def __truediv__(self, name: str) -> "S3Folder":
        return S3Folder(self.bucket, self._key(name))

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rpartition("/")[2]

    @property
    def parent(self) -> "S3Folder":
        """The folder that this one is in."""
        return S3Folder(self.bucket, self.prefix.rpartition("/")[0])

    def is_there(self) -> bool:
        """Return whether anything in the folder can be seen from here."""
        try:
            return next(self.bucket.objects(self._key("")), None) is not None
        except StorageTrouble:
            return False

    def make(self) -> None:
        """Do nothing: a folder is there as soon as a file is in it."""

    def unwritable(self) -> str | None:
        """Write, find and remove an object; return what is wrong if that fails."""
        key = self._key(f".orch-{secrets.token_hex(4)}")
        try:
            self.bucket.write(key, b"orch asks whether it can write here")
            list(self.bucket.objects(key))
            self.bucket.remove([key])
        except StorageTrouble as error:
            return str(error).replace(self.bucket.uri(key), str(self))
        return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file, piece by piece."""
        return self.bucket.chunks(self._key(name))

    def content(self, name: str) -> bytes:
        """Return the content of a small file; one that is cut is asked for again as a whole."""
        return self.bucket.read(self._key(name)).content

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        self.bucket.write(self._key(name), content)

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return self.bucket.find(self._key(name)) is not None

    def written(self, name: str) -> float | None:
        """Return when a file was last written; None where none is seen."""
        try:
            found = self.bucket.find(self._key(name))
        except StorageTrouble:
            return None
        return found.written if found else None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.bucket.remove([self._key(name)])

    def watch(self, names: Iterable[str]) -> Callable[[], bool]:
        """Return what says whether one of some files is there, or was a second ago."""
        every = tuple(names)
        return Watch(lambda: any(self.exists(name) for name in every))

    def growing(self, name: str) -> S3Lines:
        """Return a file that only grows."""
        return S3Lines(self.bucket, self._key(name))

    def folders(self, start: str) -> list[str]:
        """Return the names of the whole folders in this one that begin with `start`, sorted."""
        return sorted(name for name, files in self._begun(start).items() if MARK in files)

    def begun(self, start: str) -> list[str]:
        """Return the names of all folders in this one that begin with `start`, sorted."""
        found = self.bucket.folders(self._key(start))
        return sorted(key.removesuffix("/").rpartition("/")[2] for key in found)

    def files(self) -> list[str]:
        """Return the names of the files in this folder, sorted."""
        names = [key.removeprefix(self._key("")) for key in self._keys()]
        return sorted(name for name in names if name and "/" not in name)

    def put(self, name: str, contents: Iterable[tuple[str, bytes]]) -> None:
        """Write a folder in this one, MARK last."""
        target = self / name
        target.remove(MARK)
        for file, content in contents:
            target.write(file, content)

    def drop(self, name: str) -> None:
        """Remove a folder in this one, MARK first."""
        target = self / name
        target.remove(MARK)
        self.bucket.remove(target._keys())

    def rename(self, name: str, new: str) -> None:
        """Copy a folder in this one to another name, MARK last, and remove it."""
        target = self / name
        for key in sorted(target._keys(), key=lambda key: key == target._key(MARK)):
            self.bucket.copy(key, (self / new)._key(key.removeprefix(target._key(""))))
        self.drop(name)

    def sweep(self, starts: Iterable[str]) -> None:
        """Remove folders of these beginnings that have no MARK, and uploads that were killed."""
        for start in starts:
            for name, files in self._begun(start).items():
                if MARK not in files:
                    self.bucket.remove((self / name)._key(file) for file in files)
            self.bucket.abort_uploads(self._key(start))

    @contextlib.contextmanager
    def here(self) -> Iterator[Path]:
        """Give a folder of this machine with copies of the files."""
        with tempfile.TemporaryDirectory(prefix="orch-") as scratch:
            for name in self.files():
                self._fetch(name, Path(scratch))
            yield Path(scratch)

    @contextlib.contextmanager
    def file_here(self, name: str) -> Iterator[Path]:
        """Give a copy of one of its files on this machine."""
        with tempfile.TemporaryDirectory(prefix="orch-") as scratch:
            yield self._fetch(name, Path(scratch))

    def _fetch(self, name: str, folder: Path) -> Path:
        with (folder / name).open("wb") as file:
            file.writelines(self.chunks(name))
        return folder / name

    def _begun(self, start: str) -> dict[str, list[str]]:
        """Return the files of the folders in this one that begin with `start`, whole or not."""
        found: dict[str, list[str]] = {}
        for one in self.bucket.objects(self._key(start)):
            name, _, file = one.key.removeprefix(self._key("")).partition("/")
            if file:
                found.setdefault(name, []).append(file)
        return found

    def _keys(self) -> list[str]:
        return [one.key for one in self.bucket.objects(self._key(""))]

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name
