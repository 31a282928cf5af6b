"""What the trials of a search share, and what they do not."""

from collections.abc import Callable

from orchestrator.job.schema import Job
from orchestrator.prepare.build import open_datasets


def test_jobs_that_differ_elsewhere_share_their_data_sets(tiny_job: Callable[..., Job]) -> None:
    one, other = open_datasets(tiny_job()), open_datasets(tiny_job("optimizer.lr=0.3"))
    assert one[0] is other[0]
    assert one[1] is other[1]
    smaller = open_datasets(tiny_job("data.crop=12"))
    assert smaller[0].sample_shape == (3, 12, 12)
    assert open_datasets(tiny_job())[0].sample_shape == (3, 16, 16)
