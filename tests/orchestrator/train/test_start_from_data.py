"""Initial values from the first training batch: which, when, and equal on all ranks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.data.loader import train_batches
from orchestrator.job.schema import Job
from orchestrator.plan.batch import plan_batch
from orchestrator.train import start_from_data as module
from orchestrator.train.phase import Phase, build_phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts, build_parts
from orchestrator.train.start_from_data import start_from_data
from tests.orchestrator.train.thread_ranks import Meeting

LSQ = "quantizer.activations={name: lsq_floor}"
PLAN = plan_batch(8, 1, 4)

MakeJob = Callable[..., Job]
GoOn = Callable[..., Any]


def phase_of(job: Job, ranks: Ranks | None = None) -> tuple[Phase, Parts]:
    ranks = ranks or Ranks()
    parts = build_parts(job, ranks)
    return build_phase(job.phase_jobs(), 0, parts, ranks, 3), parts


def steps(parts: Parts, bits: str) -> dict[str, Tensor]:
    state = parts.network.state_dict()
    return {name: value for name, value in state.items() if name.endswith(f"input_steps.{bits}")}


def test_the_steps_of_the_first_layer_are_those_of_the_first_pass(tiny_job: MakeJob) -> None:
    job = tiny_job(LSQ)
    phase, parts = phase_of(job)
    start_from_data(phase, parts, PLAN, Ranks())
    batch = next(next(train_batches(parts.train_set, PLAN, rank=0, seed=job.seed, epoch=0)))
    network = parts.network
    with network.frozen_statistics(), torch.no_grad():
        features = network.stem(batch.inputs).relu()
    assert len(batch.labels) == PLAN.micro_batch
    for bits, most in ((8, 127), (2, 1)):
        first, *_ = steps(parts, f"{bits}bit").values()
        assert first.item() == pytest.approx(2 * features.mean().item() / most**0.5, rel=1e-5)


def test_every_layer_has_a_step_at_every_point_of_the_phase_and_no_other_thing_changes(
    tiny_job: MakeJob,
) -> None:
    phase, parts = phase_of(
        tiny_job(
            LSQ,
            "model.dropout=0.5",
            "phases=[{quantizer: {bit_widths: [8, 4]}}, {quantizer: {bit_widths: [4, 2]}}]",
        )
    )
    before = {name: value.clone() for name, value in parts.network.state_dict().items()}
    generator = torch.get_rng_state()
    start_from_data(phase, parts, PLAN, Ranks())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(step > 0 for bits in ("8bit", "4bit") for step in steps(parts, bits).values())
    assert all(step == 0 for step in steps(parts, "2bit").values())
    after = parts.network.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {*steps(parts, "8bit"), *steps(parts, "4bit")}


def test_values_that_are_there_stay(tiny_job: MakeJob) -> None:
    phase, parts = phase_of(tiny_job(LSQ))
    with torch.no_grad():
        for step in steps(parts, "4bit").values():
            step.fill_(7.0)
    start_from_data(phase, parts, PLAN, Ranks())
    assert {step.item() for step in steps(parts, "4bit").values()} == {7.0}
    assert all(step > 0 for step in steps(parts, "2bit").values())


def test_nothing_is_read_where_nothing_waits(
    tiny_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, parts = phase_of(tiny_job())

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a batch was read")

    monkeypatch.setattr(module, "train_batches", never)
    start_from_data(phase, parts, PLAN, Ranks())


@pytest.mark.parametrize(
    "activations", ["{name: lsq_floor}", "{clip_start: data}", "{name: moving_range}"]
)
def test_all_ranks_get_what_the_first_one_found(tiny_job: MakeJob, activations: str) -> None:
    job = tiny_job(f"quantizer.activations={activations}")
    meeting = Meeting(2)
    made = [(rank, *phase_of(job)) for rank in meeting.ranks()]
    meeting.run(
        [
            lambda rank=rank, phase=phase, parts=parts: start_from_data(phase, parts, PLAN, rank)
            for rank, phase, parts in made
        ]
    )
    first, second = (parts.network for _, _, parts in made)
    assert not any(quantizer.waits_for_data for quantizer in second.activations())
    state = second.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("activations", ["{name: lsq_floor}", "{name: moving_range}"])
def test_a_run_that_is_stopped_goes_on_with_the_values_it_has(
    tiny_job: MakeJob, run: GoOn, activations: str
) -> None:
    job = tiny_job(
        f"quantizer.activations={activations}", "quantizer.bit_widths=[4, 2]", "training.epochs=1"
    )
    undisturbed = run(job, "undisturbed")
    folder = Path(undisturbed.folder.place).parent / "stopped"
    folder.mkdir()
    (stopped := type(undisturbed.folder)(folder)).ask_to_stop()
    run(job, "stopped")
    stopped.withdraw_stop()
    other = run(job, "stopped")
    expected, found = (w.parts.network.state_dict() for w in (undisturbed, other))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert not any(q.waits_for_data for q in other.parts.network.activations())
