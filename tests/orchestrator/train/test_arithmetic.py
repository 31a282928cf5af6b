"""Which arithmetic a job gets, on processors that can and cannot, and what the run says of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.kernels import FloatKernel, Int8Kernel, Kernel
from orchestrator.errors import UsageError
from orchestrator.events import Arithmetic as Stated
from orchestrator.events import Event, Log, parse
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import arithmetic
from orchestrator.train.arithmetic import Arithmetic, announce, choose
from orchestrator.train.ranks import Ranks

TinyJob = Callable[..., Job]
NOTHING = "no operating point quantizes both weights and activations"
KERNEL, HALVES = Int8Kernel(halves=False), Int8Kernel(halves=True)


@dataclass(frozen=True)
class Beside(Ranks):
    """A rank beside others, whose kernels are given."""

    world: int = 2
    others: tuple[Kernel | None, ...] = ()

    def gather(self, value: Any) -> list[Any]:
        places = (f"rank {rank} (cpu of other)" for rank in range(1, len(self.others) + 1))
        given = zip(places, self.others, strict=True)
        return [value, *(replace(value, place=place, kernel=kernel) for place, kernel in given)]


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let this machine have a kernel, or none, and bfloat16 or not."""

    def have(kernel: Kernel | None = KERNEL, *, bfloat16: bool = True) -> None:
        monkeypatch.setattr(arithmetic, "kernel_for", lambda device: kernel)
        monkeypatch.setattr(arithmetic, "has_bfloat16", lambda device: bfloat16)

    have()
    return have


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def said(chosen: Arithmetic, folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> list[Event]:
    announce(chosen, folder)
    events = [parse(line) for line in capsys.readouterr().out.splitlines()]
    return [event for event in events if event]


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("wanted", ["auto", "integer"])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_an_exact_kernel_is_used_and_the_backward_is_in_the_precision_of_the_job(
    tiny_job: TinyJob, wanted: str, precision: str, dtype: torch.dtype
) -> None:
    job = tiny_job(f"training.arithmetic={wanted}", f"training.precision={precision}")
    chosen = choose(job, Ranks())
    assert (chosen.kernel, chosen.dtype, chosen.warnings) == (KERNEL, dtype, ())
    stated = chosen.stated
    assert (stated.kind, stated.kernel, stated.backward) == ("integer", "int8", precision)


def test_auto_is_what_a_job_gets_that_does_not_say(tiny_job: TinyJob) -> None:
    assert tiny_job().training.arithmetic == "auto"


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["training.arithmetic=float", "training.precision=bfloat16"], "as the job says"),
        (["method={name: float}", "training.precision=bfloat16"], NOTHING),
        (["quantizer.bit_widths=[w8a32, w4a32]", "training.precision=bfloat16"], NOTHING),
    ],
)
def test_floats_where_the_job_says_so_or_has_no_codes(
    tiny_job: TinyJob, settings: list[str], reason: str
) -> None:
    chosen = choose(tiny_job(*settings), Ranks())
    assert (chosen.kernel, chosen.dtype, chosen.warnings) == (None, torch.bfloat16, ())
    stated = chosen.stated
    assert (stated.kind, stated.backward, stated.reason) == ("float", "bfloat16", reason)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize(
    "settings",
    [
        ["method={name: float}", "phases=[{method: {name: joint}}]"],
        [
            "quantizer.bit_widths=[w4a32]",
            "quantizer.assignment={m: {default: w4a32, layer1.0.conv2: 4}}",
        ],
    ],
)
def test_one_layer_at_one_point_of_one_phase_is_enough(
    tiny_job: TinyJob, settings: list[str]
) -> None:
    assert choose(tiny_job(*settings), Ranks()).kernel == KERNEL


def test_without_an_exact_kernel_auto_falls_back_with_one_warning(
    tiny_job: TinyJob, processor: Callable[..., None]
) -> None:
    processor(None)
    chosen = choose(tiny_job(), Ranks())
    assert (chosen.kernel, chosen.stated.kind, len(chosen.warnings)) == (None, "float", 1)
    assert "no kernel adds up whole numbers exactly on rank 0 (cpu" in chosen.warnings[0]
    assert chosen.stated.reason in chosen.warnings[0]


def test_without_an_exact_kernel_integer_is_an_error_that_says_what_to_do(
    tiny_job: TinyJob, processor: Callable[..., None]
) -> None:
    processor(None)
    with pytest.raises(UsageError, match=r"^training\.arithmetic: .* on rank 0 \(cpu.* auto"):
        choose(tiny_job("training.arithmetic=integer"), Ranks())


@pytest.mark.usefixtures("processor")
def test_one_rank_without_a_kernel_lets_all_compute_in_floats(tiny_job: TinyJob) -> None:
    chosen = choose(tiny_job(), Beside(others=(KERNEL, None)))
    assert chosen.kernel is None
    assert "on rank 2 (cpu of other)" in chosen.stated.reason


@pytest.mark.usefixtures("processor")
def test_ranks_may_have_different_kernels_and_all_are_named(tiny_job: TinyJob) -> None:
    chosen = choose(tiny_job(), Beside(others=(HALVES, KERNEL)))
    assert (chosen.kernel, chosen.stated.kernel) == (KERNEL, "int8, int8 in halves")


@pytest.mark.parametrize(
    ("kernel", "limit"), [(KERNEL, "2^31"), (HALVES, "2^31"), (FloatKernel(), "2^24")]
)
def test_a_run_states_how_far_its_kernel_is_exact(
    tiny_job: TinyJob, processor: Callable[..., None], kernel: Kernel, limit: str
) -> None:
    processor(kernel)
    stated = choose(tiny_job(), Beside(others=(kernel,))).stated
    assert stated.reason == f"exact for sums below {limit}, on every rank"


def test_backward_passes_are_in_float32_where_bfloat16_would_be_slower(
    tiny_job: TinyJob, processor: Callable[..., None]
) -> None:
    processor(bfloat16=False)
    chosen = choose(tiny_job("training.precision=bfloat16"), Ranks())
    assert (chosen.dtype, chosen.stated.backward) == (torch.float32, "float32")
    [warning] = chosen.warnings
    assert warning.startswith("training.precision: backward passes are in float32, bfloat16 would")
    assert "rank 0 (cpu" in warning
    assert choose(tiny_job(), Ranks()).warnings == ()


def test_what_is_chosen_is_said_with_its_warnings_and_kept(
    tiny_job: TinyJob,
    processor: Callable[..., None],
    folder: RunFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    processor(None)
    chosen = choose(tiny_job(), Ranks())
    warning, stated = said(chosen, folder, capsys)
    assert isinstance(warning, Log)
    assert (warning.level, warning.message) == ("warning", *chosen.warnings)
    assert facts_of(folder).arithmetic == stated == replace(chosen.stated, time=stated.time)


def test_a_run_that_goes_on_in_another_arithmetic_says_so(
    tiny_job: TinyJob,
    processor: Callable[..., None],
    folder: RunFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = choose(tiny_job(), Ranks())
    assert [type(event).__name__ for event in said(before, folder, capsys)] == ["Arithmetic"]
    assert [type(event).__name__ for event in said(before, folder, capsys)] == ["Arithmetic"]
    processor(None)
    *_, warning, _ = said(choose(tiny_job(), Ranks()), folder, capsys)
    assert isinstance(warning, Log)
    before_that = "Until now, it computed in integer (int8), backward in float32: "
    assert warning.message.startswith(before_that)


@pytest.mark.parametrize(
    ("first", "then", "alike"),
    [
        (KERNEL, HALVES, True),
        (HALVES, KERNEL, True),
        (FloatKernel(), KERNEL, False),
        (HALVES, FloatKernel(), False),
        (FloatKernel(), FloatKernel(), True),
    ],
)
def test_a_run_that_goes_on_with_a_kernel_of_other_roundings_says_so(
    tiny_job: TinyJob,
    processor: Callable[..., None],
    folder: RunFolder,
    capsys: pytest.CaptureFixture[str],
    first: Kernel,
    then: Kernel,
    alike: bool,
) -> None:
    processor(first)
    said(choose(tiny_job(), Ranks()), folder, capsys)
    processor(then)
    *warnings, stated = said(choose(tiny_job(), Ranks()), folder, capsys)
    assert isinstance(stated, Stated)
    assert (stated.kernel, stated.sums) == (then.name, then.sums)
    expected = [] if alike else [f"Until now, it computed in integer ({first.name}), backward in"]
    assert [w.message[: len(e)] for w, e in zip(warnings, expected, strict=True)] == expected
