"""Objects of a real S3 server that come whole over a bad way, into the copies of a node."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import outage
from orchestrator.events import Log, of_trial, parse
from orchestrator.store import s3_client, s3_fetch
from orchestrator.store.cache import Cache, Damaged
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.s3 import S3Folder
from orchestrator.store.s3_fetch import Remote
from orchestrator.train.waits import telling_for
from tests.unreliable import Mood, Weather, on_the_way_to

CONTENT = bytes(range(256)) * 5000


@pytest.fixture
def remote(s3: str) -> Remote:
    folder_at(s3).write("one.bin", CONTENT)
    place = S3Folder.at(f"{s3}/one.bin")
    return Remote(place.bucket, place.prefix)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path, 10_000_000)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_fetch, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(s3_fetch, "LONGEST_PAUSE", 0.05)


def ask_at(url: str, monkeypatch: pytest.MonkeyPatch, attempts: int = 1) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", str(attempts))
    s3_client.client.cache_clear()


def fetched(cache: Cache, remote: Remote) -> bytes:
    with cache.reading(f"{remote.key} {remote.span}", ".bin", remote.begin) as path:
        return path.read_bytes()


class FirstCut(Weather):
    """The first bodies are cut, and then none."""

    def next(self) -> Mood:
        super().next()
        return "cut body" if self.counts.total() <= 4 else "well"


def test_a_body_that_is_cut_is_gone_on_with_where_it_was(
    cache: Cache, remote: Remote, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_the_way_to(s3_url, "cut body") as proxy:
        ask_at(proxy.url, monkeypatch)
        monkeypatch.setattr(s3_fetch, "PATIENCE_SECONDS", -1.0)
        with pytest.raises(StorageTrouble, match="waited for"):
            fetched(cache, remote)
        monkeypatch.setattr(s3_fetch, "PATIENCE_SECONDS", 60.0)
        proxy.become(FirstCut(0.0))
        proxy.asked.clear()
        assert fetched(cache, remote) == CONTENT
        assert len(proxy.asked) == 5


def test_a_busy_storage_slows_the_reader_and_does_not_end_it(
    cache: Cache, remote: Remote, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_the_way_to(s3_url, Weather(0.8, seed=1, faults=(503, 500, "cut", "deaf"))) as proxy:
        ask_at(proxy.url, monkeypatch)
        assert fetched(cache, remote) == CONTENT
        assert proxy.mood.counts.total() > 3
        asked = len(proxy.asked)
        assert fetched(cache, remote) == CONTENT
        assert len(proxy.asked) == asked


def test_that_a_run_waits_for_a_storage_is_said_once_and_that_it_is_over(
    cache: Cache,
    remote: Remote,
    s3: str,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder_at(s3).write("two.bin", CONTENT)
    both = [remote, Remote(remote.bucket, remote.key.replace("one", "two"))]
    monkeypatch.setattr(outage, "QUIET_SECONDS", 0.2)
    with of_trial("t003"):
        telling = telling_for(RunFolder("runs/one"))
    monkeypatch.setattr(outage, "_outage", outage.Outage(telling))
    with on_the_way_to(s3_url, 503) as proxy, ThreadPoolExecutor(2) as threads:
        ask_at(proxy.url, monkeypatch)
        found = [threads.submit(fetched, cache, one) for one in both]
        wait_until(lambda: len(proxy.asked) > 40)
        another = outage.Outage(telling)  # in another process
        another.failed(outage._Request("", 0, 0.0), "")
        proxy.become("well")
        assert [one.result() for one in found] == [CONTENT] * 2
    events = [parse(line) for line in capsys.readouterr().out.splitlines()]
    assert [type(event) for event in events] == [Log, Log]
    waiting, over = (event for event in events if isinstance(event, Log))
    assert (waiting.level, waiting.trial) == ("warning", "t003")
    assert waiting.message.startswith(s3)
    assert ".bin: S3 answers 503; waiting, for at most 15 minutes." in waiting.message
    assert ".bin: S3 answers again, after " in over.message


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_some_bytes_of_an_object_are_fetched_alone(cache: Cache, remote: Remote) -> None:
    part = Remote(remote.bucket, remote.key, (1000, 1999))
    assert fetched(cache, part) == CONTENT[1000:2000]
    with pytest.raises(StorageTrouble, match=r"one\.bin: 5 bytes came"):
        fetched(cache, Remote(remote.bucket, remote.key, (len(CONTENT) - 5, len(CONTENT) + 5)))


def test_an_object_that_is_not_there_is_no_trouble_of_the_storage(
    cache: Cache, remote: Remote
) -> None:
    with pytest.raises(FileNotFoundError):
        fetched(cache, Remote(remote.bucket, remote.key + ".gone"))


def test_what_arrives_is_compared_with_what_s3_says_of_it(
    cache: Cache, remote: Remote, s3: str
) -> None:
    client = s3_client.client()
    wrong = Remote(remote.bucket, remote.key + ".wrong")
    named = {"Bucket": wrong.bucket.name, "Key": wrong.key}
    client.put_object(**named, Body=b"content", ChecksumAlgorithm="CRC32", ChecksumCRC32="AAAAAA==")
    with pytest.raises(StorageTrouble, match="arrives damaged"):
        fetched(cache, wrong)

    with pytest.raises(Damaged):
        remote.check({"ChecksumCRC32": "AAAAAA==", "ETag": '"5-parts"'}, 1, "")
    remote.check({"ChecksumCRC32": "AAAAAA==", "ETag": '"5-parts"'}, 0, "")


def test_a_tag_that_only_looks_like_a_checksum_is_known_by_what_comes_twice(
    remote: Remote,
) -> None:
    answer = {"ETag": '"00000000000000000000000000000000"'}
    for damaged in ("1" * 32, "2" * 32):
        with pytest.raises(Damaged):
            remote.check(answer, 0, damaged)
    remote.check(answer, 0, "2" * 32)
