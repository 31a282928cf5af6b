"""A network from its job."""

from collections.abc import Callable

from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network


def test_a_network_stores_the_scale_of_the_pixels_that_its_job_asks_for(
    tiny_job: Callable[..., Job],
) -> None:
    normalized = build_network(tiny_job(), 2).state_dict()
    raw = build_network(tiny_job("data.pixels=raw"), 2).state_dict()
    assert normalized["normalize.mean"].tolist() == [0.485, 0.456, 0.406]
    assert raw["normalize.mean"].tolist() == [0.0] * 3
    assert raw["normalize.std"].tolist() == [1 / 255] * 3
