"""Settings of torch, read back from torch."""

import os
from collections.abc import Callable, Iterator

import pytest
import torch

from orchestrator.job.schema import Job
from orchestrator.train.numerics import DTYPES, set_numerics
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("precision", "tf32"), [("float32", False), ("tf32", True), ("bfloat16", True)]
)
def test_tf32_is_off_for_float32_and_on_where_a_job_says_so(
    tiny_job: Callable[..., Job], precision: str, tf32: bool
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not tf32
    job = tiny_job(f"training.precision={precision}")
    set_numerics(job.training)
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32


def test_a_rank_has_the_threads_that_ray_gives_it_although_torch_was_loaded_before(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("3", "2,1"):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        set_numerics(tiny_job().training)
        assert torch.get_num_threads() == int(given[0])


def test_deterministic_sets_what_torch_offers_and_only_then(
    tiny_job: Callable[..., Job],
) -> None:
    torch.backends.cudnn.benchmark = True
    set_numerics(tiny_job().training)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    job = tiny_job("training.deterministic=true")
    set_numerics(job.training)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    set_numerics(tiny_job().training)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_the_precision_of_a_job_reaches_its_quantized_convolutions(
    tiny_job: Callable[..., Job], precision: str, expected: torch.dtype
) -> None:
    job = tiny_job("training.arithmetic=float", f"training.precision={precision}")
    parts = build_parts(job, Ranks())
    assert parts.network.layer1[0].conv2.dtype == expected
    assert DTYPES.keys() == {"float32", "tf32", "bfloat16"}
