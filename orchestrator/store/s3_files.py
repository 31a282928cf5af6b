"""The folders and files of a data set that is in a bucket of S3.

They are a `Place` of `video.anywhere`. A folder is listed once, with all that is below it; a file
is fetched when it is read, into the copies of this node, and again only where its content is no
longer the one that was listed.
"""

import contextlib
import errno
import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from orchestrator.job.paths import SCHEME
from orchestrator.store.cache import Cache
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.s3_bucket import Bucket
from orchestrator.store.s3_fetch import Body, Remote
from video.anywhere import read_again, read_bytes_at

CHANGES = 10
"""How often an object may change while it is fetched."""


@dataclass
class Listed:
    """What is in a folder. files: names, sorted. marks: of their contents. folders: names."""

    files: list[str] = field(default_factory=list)
    marks: "array[int]" = field(default_factory=lambda: array("Q"))
    folders: list[str] = field(default_factory=list)

    def place(self, file: str) -> int | None:
        """Return the place of a file in `files` and `marks`."""
        place = bisect_left(self.files, file)
        return place if place < len(self.files) and self.files[place] == file else None


class Tree:
    """What is known of a bucket: some folders with all below them, and some files."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._folders: dict[str, Listed] = {}
        self._tops: list[str] = []
        self._alone: dict[str, int] = {}

    def folder(self, key: str) -> Listed | None:
        """Return what is in a folder, None where there is none. Raises StorageTrouble."""
        if not self._is_listed(key):
            self._list(key)
        return self._folders.get(key)

    def mark(self, key: str) -> int | None:
        """Return the mark of a file's content, None where there is no such file.

        Raises StorageTrouble.
        """
        folder, name = _split(key)
        if self._is_listed(folder):
            listed = self._folders.get(folder)
            place = listed.place(name) if listed else None
            return listed.marks[place] if listed and place is not None else None
        if key not in self._alone and (found := self.bucket.find(key)):
            self._alone[key] = mark_of(found.tag, found.size)
        return self._alone.get(key)

    def remember(self, key: str, mark: int) -> None:
        """Note that the content of a file that is known has changed."""
        folder, name = _split(key)
        listed = self._folders.get(folder)
        place = listed.place(name) if listed else None
        if listed and place is not None:
            listed.marks[place] = mark
        else:
            self._alone[key] = mark

    def _is_listed(self, key: str) -> bool:
        return any(_is_below(key, top) for top in self._tops)

    def _list(self, key: str) -> None:
        for folder in [one for one in self._folders if _is_below(one, key)]:
            del self._folders[folder]
        for one in self.bucket.objects(f"{key}/" if key else ""):
            if "//" in f"/{one.key}":
                continue  # no path leads there
            folder, name = _split(one.key)
            listed = self._folders.get(folder) or self._new(folder, key)
            if name:
                listed.files.append(name)
                listed.marks.append(mark_of(one.tag, one.size))
        if key not in self._folders:
            return  # it may come to be
        self._tops.append(key)
        for folder, listed in self._folders.items():
            if _is_below(folder, key):
                _sort(listed)

    def _new(self, folder: str, top: str) -> Listed:
        """Add a folder, and those above it up to one that is listed."""
        listed = self._folders[folder] = Listed()
        above, name = _split(folder)
        if folder != top:
            (self._folders.get(above) or self._new(above, top)).folders.append(name)
        return listed


@dataclass(frozen=True)
class S3Path:
    """A folder or a file in a bucket. tree: what is known of it, shared by all of a data set."""

    bucket: Bucket
    key: str
    tree: Tree = field(compare=False, repr=False)

    @classmethod
    def at(cls, uri: str) -> "S3Path":
        """Return the place of a URI s3://BUCKET/PREFIX; asks nothing."""
        bucket, _, key = uri.removeprefix(SCHEME).partition("/")
        return cls(Bucket(bucket), key.strip("/"), _tree(uri))

    def __str__(self) -> str:
        return self.bucket.uri(self.key)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.key).stem

    def __truediv__(self, name: "str | Path | S3Path") -> "S3Path | Path":
        """Return a place in this one; one that is whole by itself stays as it is, as for a path."""
        if isinstance(name, S3Path):
            return name
        if Path(name).is_absolute():
            return Path(name)
        parts = (*self.key.split("/"), *str(name).split("/"))
        key = "/".join(part for part in parts if part not in ("", "."))
        return S3Path(self.bucket, key, self.tree)

    def __rtruediv__(self, _: Path) -> "S3Path":
        return self

    def iterdir(self) -> "Iterator[S3Path]":
        """Yield what is in this folder. Raises FileNotFoundError where there is none."""
        listed = self.tree.folder(self.key)
        if listed is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self))
        folders = frozenset(listed.folders)  # an object may be called like one of them
        files = (name for name in listed.files if name not in folders)
        for name in (*listed.folders, *files):
            yield S3Path(self.bucket, f"{self.key}/{name}" if self.key else name, self.tree)

    def is_dir(self) -> bool:
        """Return whether anything is below this place."""
        return self.tree.folder(self.key) is not None

    def is_file(self) -> bool:
        """Return whether an object is at this place."""
        return self.tree.mark(self.key) is not None

    def read_bytes(self) -> bytes:
        """Return the content of this file."""
        return read_again(self._read)

    @contextlib.contextmanager
    def here(self) -> Iterator[Path]:
        """Give a copy of this file; a second reader finds it on the disk.

        Raises FileNotFoundError, StorageTrouble, and UsageError where copies cannot be kept, of
        which LostCopy is a kind.
        """
        with contextlib.ExitStack() as stack:
            yield self._copy(stack)

    def identity(self) -> str:
        """Return what only this content of this file is called. Raises FileNotFoundError."""
        return f"{self} {self._mark():x}"

    def part(self, offset: int, size: int) -> bytes:
        """Return some bytes of this file, from its copy if there is one, else fetched alone.

        Raises what `here` raises, and OSError where the file has changed since it was listed.
        """
        if not size:
            return b""  # there is no range of no bytes
        return read_again(lambda: self._read_part(offset, size))

    def _read(self) -> bytes:
        with self.here() as path:
            return path.read_bytes()

    def _read_part(self, offset: int, size: int) -> bytes:
        cache, whole = Cache.of_node(), self.identity()
        with cache.kept(whole) as path:
            if path is not None:
                return read_bytes_at(path, offset, size)
        remote = Remote(self.bucket, self.key, (offset, offset + size - 1))

        def begin() -> Body:
            body = remote.begin()
            if mark_of(remote.tag, remote.total) != self._mark():
                raise OSError(errno.ESTALE, "it has changed since it was listed", str(self))
            return body

        with cache.reading(f"{whole} {offset}+{size}", ".part", begin) as path:
            return path.read_bytes()

    def _mark(self) -> int:
        mark = self.tree.mark(self.key)
        if mark is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self))
        return mark

    def _copy(self, stack: contextlib.ExitStack) -> Path:
        cache, remote = Cache.of_node(), Remote(self.bucket, self.key)
        for _ in range(CHANGES):
            mark = self._mark()

            def begin(mark: int = mark) -> Body:
                body = remote.begin()
                if mark_of(remote.tag, body.size) != mark:
                    self.tree.remember(self.key, mark_of(remote.tag, body.size))
                    raise _Renewed
                return body

            with contextlib.suppress(_Renewed):
                content = f"{self} {mark:x}"
                return stack.enter_context(cache.reading(content, self.suffix, begin))
        raise StorageTrouble(f"{self}: it changed {CHANGES} times while it was fetched")


class _Renewed(Exception):
    """The content of an object is not the one that was listed."""


@lru_cache(maxsize=8)
def _tree(uri: str) -> Tree:
    return Tree(Bucket(uri.removeprefix(SCHEME).partition("/")[0]))


def mark_of(tag: str, size: int) -> int:
    """Return a number that another content of an object would not have."""
    bare = tag.strip('"')
    return int.from_bytes(hashlib.sha256(f"{bare} {size}".encode()).digest()[:8])


def _sort(listed: Listed) -> None:
    """Sort the files by name; some buckets list in no order."""
    order = sorted(range(len(listed.files)), key=listed.files.__getitem__)
    listed.files = [listed.files[place] for place in order]
    listed.marks = array("Q", [listed.marks[place] for place in order])


def _split(key: str) -> tuple[str, str]:
    folder, _, name = key.rpartition("/")
    return folder, name


def _is_below(key: str, top: str) -> bool:
    """Return whether a key is that of a folder, or of what is below it."""
    return not top or key == top or key.startswith(f"{top}/")
