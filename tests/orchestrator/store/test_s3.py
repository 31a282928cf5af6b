"""What a bucket does to a folder: half uploads, lost answers, cut bodies, refusals."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from orchestrator.store import s3_bucket, s3_client, s3_lines
from orchestrator.store.checkpoint import damage, with_manifest
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.lines import Lines
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import WholeFile
from orchestrator.store.s3 import S3Folder
from tests.unreliable import FAULTS, Mood, Weather, on_the_way_to

Behind = Callable[[Mood | Weather], AbstractContextManager[S3Folder]]


@pytest.fixture
def folder(s3: str) -> S3Folder:
    return S3Folder.at(s3)


@pytest.fixture
def behind(s3: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Give the folder as seen through a proxy."""

    @contextmanager
    def go(mood: Mood | Weather) -> Iterator[S3Folder]:
        with on_the_way_to(s3_url, mood) as way:
            monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
            s3_client.client.cache_clear()
            yield S3Folder.at(s3)
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
        s3_client.client.cache_clear()

    return go


def keys(folder: S3Folder) -> list[str]:
    return [
        one.key.removeprefix(f"{folder.prefix}/") for one in folder.bucket.objects(folder.prefix)
    ]


def test_a_marker_of_a_folder_is_no_file_of_it(folder: S3Folder) -> None:
    """The console of AWS makes an empty object with such a key for a new folder."""
    folder.put("whole", with_manifest({"a.bin": b"a"}))
    for key in ("", "whole/", "whole/new/", "new/"):
        folder.bucket.write(f"{folder.prefix}/{key}", b"")
    assert folder.files() == []
    assert folder.folders("") == ["whole"]
    whole = folder / "whole"
    assert damage(whole) is None
    with whole.here() as here:
        assert sorted(path.name for path in here.iterdir()) == whole.files()
        assert (here / "a.bin").read_bytes() == b"a"
    folder.rename("whole", "moved")
    assert folder.folders("") == ["moved"]


def test_parts_of_an_upload_that_was_killed_are_given_up(folder: S3Folder) -> None:
    s3 = s3_client.client()
    named = {"Bucket": folder.bucket.name, "Key": f"{folder.prefix}/checkpoint_1/model.safetensors"}
    s3.create_multipart_upload(**named)
    s3.create_multipart_upload(**named | {"Key": f"{folder.prefix}/other"})
    folder.sweep(["checkpoint_"])
    left = s3.list_multipart_uploads(Bucket=folder.bucket.name, Prefix=folder.prefix)["Uploads"]
    assert [upload["Key"] for upload in left] == [f"{folder.prefix}/other"]


def test_a_large_file_comes_back_as_it_was(
    folder: S3Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "LARGE", 6 << 20)
    content = bytes(range(256)) * (40 << 10)
    folder.write("large", content)
    assert b"".join(folder.chunks("large")) == content


def test_bad_weather_changes_nothing(behind: Behind) -> None:
    weather = Weather(share=0.3, seed=3)
    contents = {"model.safetensors": bytes(range(256)) * 6_000, "state.pt": b"state"}
    with behind(weather) as folder:
        lines = Lines(folder.growing("metrics.jsonl"))
        for number in range(12):
            lines.append(number, durable=True)
            folder.write("facts", str(number).encode())
        folder.put("checkpoint_1", with_manifest(contents))
        folder.put("checkpoint_2", with_manifest(contents))
        folder.rename("checkpoint_1", "damaged_1")
        folder.drop("checkpoint_2")
        assert damage(folder / "damaged_1") is None
        assert Lines(folder.growing("metrics.jsonl")).read().values == [*range(12)]
        assert b"".join(folder.chunks("facts")) == b"11"
    assert all(weather.counts[fault] for fault in FAULTS), weather.counts


def test_each_request_has_all_its_attempts_however_long_the_trouble_lasts(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", pauses.append)
    faults: tuple[Mood, ...]
    for slower in (False, True):
        pauses.clear()
        faults = (429, (503, refusal("SlowDown"))) if slower else (500, 502, 503, 504, "cut")
        weather = Weather(share=1.0, faults=faults)
        with behind(weather) as folder:
            for _ in range(20):
                with pytest.raises(StorageTrouble):
                    folder.write("facts", b"")
        assert weather.counts.total() == 20 * 10
        longest = [max(pauses[after::9]) for after in range(9)]
        first = 1.0 if slower else 0.05
        limits = [min(first * 2**after, 20.0) for after in range(9)]
        assert all(limit / 2 < one <= limit for one, limit in zip(longest, limits, strict=True))


def test_a_body_that_is_cut_again_and_again_is_gone_on_with(behind: Behind) -> None:
    content = bytes(range(256)) * 6_000
    with behind("well") as folder:
        folder.write("a", content)
    with behind(Weather(share=0.8, seed=1, faults=("cut body",))) as folder:
        assert b"".join(folder.chunks("a")) == content


def test_a_file_that_is_replaced_while_it_is_read_is_of_one_moment(behind: Behind) -> None:
    texts = ["a" * 5000, "b" * 5000]
    read = set()
    with behind(Weather(share=0.4, seed=3, faults=("cut body",))) as folder:
        file, over = WholeFile(folder, "f"), threading.Event()
        file.write(texts[0])

        def replace() -> None:
            while not over.is_set():
                for text in texts:
                    file.write(text)

        writer = threading.Thread(target=replace)
        writer.start()
        try:
            for _ in range(12):
                read.add(file.read())
        finally:
            over.set()
            writer.join()
    assert read <= {*texts}


def test_a_line_whose_answer_was_lost_is_there_once(behind: Behind, folder: S3Folder) -> None:
    weather = Weather(share=0.4, seed=2, faults=("deaf",))
    with behind(weather) as there:
        lines = Lines(there.growing("metrics.jsonl"))
        for number in range(15):
            lines.append(number, durable=True)
    assert weather.counts["deaf"] > 3
    assert Lines(folder.growing("metrics.jsonl")).read().values == [*range(15)]


def test_lines_of_two_writers_are_all_there_in_objects_of_a_limited_size(
    folder: S3Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_lines, "FULL", 20)
    writers = [Lines(folder.growing("metrics.jsonl")) for _ in range(2)]
    for number in range(8):
        writers[number % 2].append({"n": number}, durable=True)
    found = writers[0].read()
    assert [value["n"] for value in found.values] == [*range(8)]
    assert len(keys(folder)) == 4
    mark = len(b'{"n": 0}\n') * 3
    assert [value["n"] for value in writers[1].read(mark).values] == [*range(3, 8)]
    assert found.mark == writers[0].size()


def test_a_checkpoint_whose_bytes_have_changed_is_damaged(folder: S3Folder) -> None:
    folder.put("checkpoint_1", with_manifest({"model.safetensors": b"123", "state.pt": b"4"}))
    folder.write("checkpoint_1/model.safetensors", b"124")
    assert damage(folder / "checkpoint_1") == "model.safetensors has changed (its checksum differs)"
    folder.remove("checkpoint_1/model.safetensors")
    assert "model.safetensors: No such file" in str(damage(folder / "checkpoint_1"))


def test_a_storage_that_does_not_answer_is_no_damage(behind: Behind) -> None:
    with behind("well") as folder:
        folder.put("checkpoint_1", with_manifest({"state.pt": b"4"}))
    with behind((403, refusal("AccessDenied"))) as folder:
        assert not folder.is_there()
        assert folder.written("a") is None
        with pytest.raises(StorageTrouble):
            damage(folder / "checkpoint_1")


def refusal(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, "NoSuchBucket", "there is no bucket models; create it"),
        (403, "AccessDenied", "access is denied; these credentials need the rights"),
        (403, "InvalidAccessKeyId", "the credentials are not accepted (InvalidAccessKeyId); set"),
        (400, "EntityTooLarge", "S3 answers EntityTooLarge 400: No."),
    ],
)
def test_a_refusal_says_what_to_do(behind: Behind, status: int, code: str, told: str) -> None:
    with behind((status, refusal(code))) as folder:
        problem = str(folder.unwritable())
    assert told in problem
    assert problem.startswith(f"{folder}: ")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "does its server run?"),
        ("AWS_ENDPOINT_URL", "nowhere", "AWS_ENDPOINT_URL is a URL such as"),
        ("AWS_PROFILE", "nobody", "no credentials are found (The config profile (nobody)"),
        ("AWS_MAX_ATTEMPTS", "often", "S3 cannot be asked"),
    ],
)
def test_wrong_settings_are_told(
    s3: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv(name, value)
    assert told in str(folder_at(s3).unwritable())


def test_missing_credentials_are_told(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "no credentials are found" in str(folder_at(s3).unwritable())


def test_nothing_is_left_of_the_question_whether_one_can_write(folder: S3Folder) -> None:
    assert folder.unwritable() is None
    assert keys(folder) == []
