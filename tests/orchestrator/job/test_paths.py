"""Places in a job: what is a path, what is in a bucket, and what is neither."""

from collections.abc import Callable

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.schema import Job


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://models", "s3://models"),
        ("s3://${BUCKET}//runs/", "s3://models/runs"),
        ("s3://m/runs", "expected a path, or s3://BUCKET/PREFIX, got 's3://m/runs'."),
        ("s3:///runs", "expected a path, or s3://BUCKET/PREFIX, got 's3:///runs'."),
        ("gs://models/runs", "expected a path, or s3://BUCKET/PREFIX, got 'gs://models/runs'."),
        ("s3://${NOWHERE}/x", "the environment variable NOWHERE is not set; set it, or give a"),
    ],
)
def test_a_place_in_a_bucket_has_one_form(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("BUCKET", "models")
    both = (f"output={given}", f"start={{from: float, weights: '{given}'}}")
    if expected.startswith("s3://"):
        job = tiny_job(*both)
        assert [job.output, job.start.weights] == [expected] * 2
        return
    with pytest.raises(JobFileError) as caught:
        tiny_job(*both)
    assert [line.partition(": ")[0].split()[-1] for line in caught.value.mistakes] == [
        *("start.weights", "output")
    ]
    assert all(expected in line for line in caught.value.mistakes)


NAMES = "a path whose parts are of at most 255 bytes, and "


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("output=" + 128 * "é", f"{NAMES}éééééééééé... has 256."),
        (
            "output=s3://models/" + 7 * f"{99 * 'k'}/" + "ééé",
            "a key of at most 700 bytes, got 706: ",
        ),
        ("start.weights=runs/" + 256 * "r", f"{NAMES}{20 * 'r'}... has 256."),
        ("data.root=" + 256 * "d", f"{NAMES}{20 * 'd'}... has 256."),
        ("output=/" + 37 * f"{99 * 'd'}/" + 71 * "d", "a path of at most 3771 bytes, got 3772: "),
        ("data.root=/" + 41 * f"{99 * 'd'}/", "a path of at most 4095 bytes, got 4100: "),
        ("tracking.uri=sqlite:///" + 256 * "t", f"{NAMES}{20 * 't'}... has 256."),
    ],
)
def test_a_path_that_no_file_system_takes_is_a_mistake_of_the_job(
    tiny_job: Callable[..., Job], given: str, problem: str
) -> None:
    with pytest.raises(JobFileError) as caught:
        tiny_job(given)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"--set  {given.partition('=')[0]}: expected {problem}")


def test_longest_paths_that_a_run_may_have_are_taken(tiny_job: Callable[..., Job]) -> None:
    assert tiny_job("output=/" + 255 * "o").output == "/" + 255 * "o"
    bucket = "s3://models/" + 7 * f"{99 * 'k'}/"
    job = tiny_job(f"output={bucket}", f"start={{from: checkpoint, weights: '{bucket}run'}}")
    assert (job.output, job.start.weights) == (bucket.removesuffix("/"), f"{bucket}run")
