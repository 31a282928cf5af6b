"""What the trials of a search share, and what they do not."""

from collections.abc import Callable

from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network, open_datasets


def test_jobs_that_differ_elsewhere_share_their_data_sets(tiny_job: Callable[..., Job]) -> None:
    one, other = open_datasets(tiny_job()), open_datasets(tiny_job("optimizer.lr=0.3"))
    assert one[0] is other[0]
    assert one[1] is other[1]
    smaller = open_datasets(tiny_job("data.crop=12"))
    assert smaller[0].sample_shape == (3, 12, 12)
    assert open_datasets(tiny_job())[0].sample_shape == (3, 16, 16)


def test_a_network_stores_the_scale_of_the_pixels_that_its_job_asks_for(
    tiny_job: Callable[..., Job],
) -> None:
    normalized = build_network(tiny_job(), 2).state_dict()
    raw = build_network(tiny_job("data.pixels=raw"), 2).state_dict()
    assert normalized["normalize.mean"].tolist() == [0.485, 0.456, 0.406]
    assert raw["normalize.mean"].tolist() == [0.0] * 3
    assert raw["normalize.std"].tolist() == [1 / 255] * 3
