"""Two processes against one: the same gradients, teachers, parameters and results."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.job.schema import Job
from tests.orchestrator.train.rank_programs import run_ranks, train_some_steps

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.distributed.*:FutureWarning")


@pytest.fixture
def job(tiny_job: Callable[..., Job]) -> dict[str, Any]:
    return tiny_job("cluster.max_batch_per_worker=8", "method.p1=0.5", "model.dropout=0").as_dict()


def test_one_rank_with_twice_the_batch_has_the_gradients_and_teachers_of_two(
    job: dict[str, Any], tmp_path: Path
) -> None:
    program = partial(train_some_steps, values=job, steps=1, norm_in_evaluation_mode=True)
    [alone] = run_ranks(1, tmp_path / "one", program)
    together = run_ranks(2, tmp_path / "two", program)
    assert len(alone["teachers"]) >= 3
    for rank in together:
        assert rank["teachers"] == alone["teachers"]
        for name, expected in alone["gradients"].items():
            found = rank["gradients"][name]
            assert (found is None) == (expected is None), name
            if expected is not None:
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=name)
    kinds = [name for name, g in alone["gradients"].items() if g is not None]
    assert any("clip" in name for name in kinds)
    assert any("bn" in name for name in kinds)


def test_all_ranks_have_equal_parameters_and_results_after_three_steps(
    job: dict[str, Any], tmp_path: Path
) -> None:
    program = partial(train_some_steps, values=job, steps=3, norm_in_evaluation_mode=False)
    first, second = run_ranks(2, tmp_path / "two", program)
    assert first["steps"] == second["steps"] == 3
    for name, expected in first["parameters"].items():
        assert torch.equal(second["parameters"][name], expected), name
    assert first["evaluation"] == second["evaluation"]
    of_nine_samples = [9 * row.metric / 100 for row in first["evaluation"].rows]
    assert of_nine_samples == pytest.approx([round(count) for count in of_nine_samples])
