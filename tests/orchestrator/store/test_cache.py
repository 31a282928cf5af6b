"""Copies that the processes of a node share: whole, found again, within their limit."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.store import cache as cache_module
from orchestrator.store.cache import ATTEMPTS, Cache, Damaged
from orchestrator.store.cache_trouble import LostCopy
from orchestrator.store.folder import StorageTrouble


@dataclass
class Sender:
    """Sends some bytes, and counts how often it began. damaged: how often they arrive damaged."""

    content: bytes
    damaged: int = 0
    begun: list[float] = field(default_factory=list)

    def __call__(self) -> "Sender":
        self.begun.append(time.monotonic())
        return self

    @property
    def size(self) -> int:
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[:3]
        time.sleep(0.01)
        if len(self.begun) <= self.damaged:
            yield bytes(self.size - 3)
            raise Damaged
        yield self.content[3:]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "copies", 1000)


def read(cache: Cache, name: str, sender: Callable[[], Sender]) -> bytes:
    with cache.reading(name, ".bin", sender) as path:
        assert path.suffix == ".bin"
        return path.read_bytes()


def sizes(cache: Cache) -> dict[Path, int]:
    """What the copies take on the disk, parts of them included."""
    return {path: path.stat().st_size for path in cache.folder.glob("*/*")}


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Become a process that has not read any copy yet."""
    monkeypatch.setattr(cache_module, "_checked", set())


def test_a_copy_is_fetched_once_and_then_read(cache: Cache) -> None:
    one, other = Sender(b"the first one"), Sender(b"another one")
    for _ in range(2):
        assert read(cache, "one", one) == one.content
        assert read(cache, "other", other) == other.content
    assert (len(one.begun), len(other.begun)) == (1, 1)
    assert sorted(sizes(cache).values()) == [11, 13]


def test_of_many_that_want_the_same_one_fetches_it(cache: Cache) -> None:
    sender, found = Sender(b"x" * 900), []
    threads = [
        threading.Thread(target=lambda: found.append(read(cache, "one", sender))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sender.content] * 8
    assert len(sender.begun) == 1
    assert list(sizes(cache).values()) == [900]


def test_the_copies_longest_unused_go_first_and_all_stay_within_the_limit(cache: Cache) -> None:
    senders = {name: Sender(name.encode() * 300) for name in "abcde"}
    for name in "abcabde":
        assert read(cache, name, senders[name]) == senders[name].content
        assert sum(sizes(cache).values()) <= 1000
    for name in "bde":  # c had to go for d, and a for e
        read(cache, name, senders[name])
    assert {name: len(one.begun) for name, one in senders.items()} == dict.fromkeys("abcde", 1)
    read(cache, "c", senders["c"])
    assert len(senders["c"].begun) == 2


def test_a_lower_limit_holds_from_the_next_use_on(cache: Cache) -> None:
    for name in "abc":
        read(cache, name, Sender(name.encode() * 300))
    last = Sender(b"")
    assert read(Cache(cache.folder, 500), "c", last) == b"c" * 300
    assert (last.begun, list(sizes(cache).values())) == ([], [300])


def test_a_copy_in_use_stays_and_one_beyond_the_limit_only_until_the_next(cache: Cache) -> None:
    with cache.reading("used", "", Sender(b"u" * 400)) as used:
        with cache.reading("large", "", Sender(b"l" * 5000)) as large:
            assert (used.stat().st_size, large.stat().st_size) == (400, 5000)
        assert read(cache, "small", Sender(b"s" * 100)) == b"s" * 100
        assert used.exists()
        assert not large.exists()
    assert sum(sizes(cache).values()) == 500


@dataclass
class Removing(Sender):
    """Loses the folder of copies while it sends. times: how often."""

    folder: Path = Path()
    times: int = 1

    def __iter__(self) -> Iterator[bytes]:
        if len(self.begun) <= self.times:
            shutil.rmtree(self.folder)
        yield from super().__iter__()


def test_copies_that_are_removed_while_they_come_are_fetched_again(cache: Cache) -> None:
    sender = Removing(b"content", folder=cache.folder)
    assert read(cache, "one", sender) == b"content"
    assert len(sender.begun) == 2
    with pytest.raises(LostCopy, match="Let ORCH_CACHE name a folder"):
        read(cache, "two", Removing(b"content", folder=cache.folder, times=99))


def test_what_the_source_says_is_not_hidden_by_copies_that_are_gone(cache: Cache) -> None:
    def begin() -> Sender:
        shutil.rmtree(cache.folder)
        raise StorageTrouble("no answer")

    with pytest.raises(StorageTrouble, match="no answer"):
        read(cache, "one", begin)


def test_what_fails_while_its_copy_is_removed_is_told_from_other_failures(cache: Cache) -> None:
    for lost, kind in ((False, FileNotFoundError), (True, LostCopy)):
        with pytest.raises(kind), cache.reading("one", "", Sender(b"content")) as path:  # noqa: PT012
            if lost:
                path.rename(path.with_name("elsewhere"))
            raise FileNotFoundError


def test_what_arrives_damaged_is_fetched_again(cache: Cache) -> None:
    assert read(cache, "one", Sender(b"content", damaged=2)) == b"content"
    with pytest.raises(StorageTrouble, match=f"two: it arrives damaged, {ATTEMPTS} times"):
        read(cache, "two", Sender(b"content", damaged=99))
    assert list(sizes(cache).values()) == [7]


def test_a_copy_that_the_disk_has_changed_is_fetched_again(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(b"content")
    read(cache, "one", sender)
    for content in (b"cont", b"c0ntent"):
        forget(monkeypatch)
        [copy] = sizes(cache)
        copy.write_bytes(content)
        assert read(cache, "one", sender) == b"content"
    assert len(sender.begun) == 3
    forget(monkeypatch)
    assert read(cache, "one", sender) == b"content"
    assert len(sender.begun) == 3


KILLED = """
import sys, time
from pathlib import Path
from orchestrator.store.cache import Cache
class Sender:
    size = 800
    def __iter__(self):
        yield b"x" * 300
        print("begun", flush=True)
        time.sleep(60)
with Cache(Path(sys.argv[1]), 1000).reading("one", ".bin", Sender):
    pass
"""


def test_a_killed_process_leaves_nothing_that_counts(cache: Cache) -> None:
    begun = [sys.executable, "-c", KILLED, str(cache.folder)]
    with subprocess.Popen(begun, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert list(sizes(cache).values()) == [800]  # it has its room from the start
        process.send_signal(signal.SIGKILL)
    small = Sender(b"s" * 300)
    assert read(cache, "another", small) == small.content
    assert list(sizes(cache).values()) == [300]
    assert read(cache, "one", Sender(b"y" * 600)) == b"y" * 600
    assert sum(sizes(cache).values()) == 900
    assert int((cache.folder / "taken").read_text()) == 900


def test_a_count_that_is_lost_is_counted_again(cache: Cache) -> None:
    read(cache, "one", Sender(b"o" * 600))
    (cache.folder / "taken").write_text("12")
    read(cache, "two", Sender(b"t" * 600))
    assert list(sizes(cache).values()) == [600]


def test_without_a_limit_half_of_the_free_disk_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ORCH_CACHE_GB", raising=False)
    cache = Cache.of_node()
    free = os.statvfs(tmp_path)
    assert read(cache, "one", Sender(b"content")) == b"content"
    room = free.f_bavail * free.f_frsize
    assert cache._most(0) == pytest.approx(room / 2, rel=0.1)
    monkeypatch.setenv("ORCH_CACHE_GB", "0.5")
    assert Cache.of_node()._most(0) == min(500_000_000, int(room * 0.95))
    for given in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("ORCH_CACHE_GB", given)
        with pytest.raises(UsageError, match=f"_GB: expected a number above 0, got '{given}'"):
            Cache.of_node()


def test_a_disk_that_is_full_is_named_and_nothing_is_left(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(UsageError, match="No space left on device"):
            read(cache, "one", Sender(b"content"))
    assert sizes(cache) == {}
    assert int((cache.folder / "taken").read_text()) == 0


def test_copies_in_a_folder_that_is_fixed_are_read(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fixed(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    sender = Sender(b"content")
    read(cache, "one", sender)
    cache_module._trim.cache_clear()
    forget(monkeypatch)
    monkeypatch.setattr(os, "utime", fixed)
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root all folders can be written
    monkeypatch.setattr(Cache, "_counting", fixed)
    assert read(cache, "one", sender) == b"content"
    assert len(sender.begun) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Let ORCH_CACHE name a folder"):
        read(Cache(tmp_path / "file" / "objects", 10), "one", Sender(b"content"))
