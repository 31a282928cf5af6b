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
