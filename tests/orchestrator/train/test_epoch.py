"""Three epochs on two ranks with two passes a step, against the same training written again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from models.layers.normalize import Normalize
from models.networks.base import AnyBitNetwork
from models.roles import roles
from orchestrator.data.loader import LoadedBatch
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_method, build_network
from orchestrator.train import gradients
from orchestrator.train.epoch import Loop, train_epoch
from orchestrator.train.optimizers import build_optimizer
from orchestrator.train.ranks import Ranks
from orchestrator.train.schedules import factor
from orchestrator.train.tally import Tally
from tests.orchestrator.train.reference import (
    Given,
    Reference,
    StepRecord,
    near,
    recipe_of,
)
from tests.orchestrator.train.thread_ranks import Meeting, Twins

EPOCHS, STEPS, WORLD, PASSES, SAMPLES = 3, 2, 2, 2, 3
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)

JOB = (
    "seed=5",
    "quantizer.bit_widths=[8, 4, 2]",
    "model.depths=[1, 2]",
    "model.init_weights=kaiming_fan_out",
    "quantizer.activations.clip_init=1",
    "optimizer.clip.lr=0.02",
    "optimizer.clip.weight_decay=0.01",
    "optimizer.momentum=0.8",
    "optimizer.weight_decay=0.005",
    "method.lambda=0.02",
    f"training.epochs={EPOCHS}",
)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gradients be averaged while the last pass goes backward, as those of large networks."""
    monkeypatch.setattr(gradients, "CHUNK", 100)


def drawn_batches() -> dict[tuple[int, int], list[list[Given]]]:
    """Noise with labels, by (epoch, step): [rank][pass]."""
    generator = torch.Generator().manual_seed(1)

    def drawn(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    return {
        (epoch, step): [
            [(drawn(256, SAMPLES, 3, 8, 8).byte(), drawn(3, SAMPLES)) for _ in range(PASSES)]
            for _ in range(WORLD)
        ]
        for epoch in range(EPOCHS)
        for step in range(STEPS)
    }


@dataclass
class Seen:
    """What a rank of the product left behind after each step."""

    gradients: list[dict[str, Tensor | None]] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    passes: list[tuple[str, float, str | None]] = field(default_factory=list)
    mean_losses: list[dict[str, float]] = field(default_factory=list)


class Noting(Tally):
    """A tally that keeps every pass."""

    def note(self, seen: Seen) -> "Noting":
        self._seen = seen
        return self

    def add(self, point: str, loss: Tensor, teacher: str | None) -> None:
        super().add(point, loss, teacher)
        self._seen.passes.append((point, loss.item(), teacher))


def batch(images: Tensor, labels: Tensor) -> LoadedBatch:
    return LoadedBatch(images, labels, torch.arange(len(labels)), torch.ones(len(labels)) > 0, [])


def loop_of(job: Job, ranks: Ranks) -> Loop:
    network, method = build_network(job, 3), build_method(job)
    network.double().normalize = Normalize(MEAN, STD)
    return Loop(
        network=network,
        method=method,
        optimizer=build_optimizer(roles(network, method), job.optimizer, losses=method.passes),
        schedule=partial(factor, job.optimizer),
        targets=lambda labels: labels,
        ranks=ranks,
        seed=job.seed,
        phase=0,
        epochs_before=0,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
    )


def train(job: Job, loop: Loop, batches: dict[tuple[int, int], list[list[Given]]]) -> Seen:
    """Train all epochs as one rank of the product."""
    ranks, seen = loop.ranks, Seen()
    for epoch in range(EPOCHS):
        tally = Noting(loop.method.loss_names, ranks.device).note(seen)
        stopped = train_epoch(
            loop,
            (_passes(batches[epoch, step][ranks.rank]) for step in range(STEPS)),
            tally,
            epoch=epoch,
            first_step=0,
            wants_stop=lambda: False,
            after_step=lambda done: _look(loop.network, seen),
        )
        assert not stopped
        assert tally.samples == STEPS * PASSES * SAMPLES * WORLD
        seen.mean_losses.append(tally.mean_losses(ranks))
    return seen


def _passes(passes: Iterable[Given]) -> Iterable[LoadedBatch]:
    return (batch(*one) for one in passes)


def _look(network: AnyBitNetwork, seen: Seen) -> None:
    named = dict(network.named_parameters())
    seen.gradients.append({n: None if p.grad is None else p.grad.clone() for n, p in named.items()})
    seen.states.append({name: value.clone() for name, value in network.state_dict().items()})


@dataclass
class Both:
    """The product's ranks and the reference's steps, with its state after each."""

    ranks: list[Seen]
    records: list[StepRecord]
    parameters: list[dict[str, Tensor]]
    statistics: list[list[dict[str, Tensor]]]


def both(job: Job) -> Both:
    batches = drawn_batches()
    start = build_network(job, 3)
    reference = Reference(recipe_of(job, STEPS, MEAN, STD), start.state_dict(), WORLD)
    meeting = Meeting(WORLD)
    loops = [loop_of(job, ranks) for ranks in meeting.ranks()]
    seen = meeting.run([partial(train, job, loop, batches) for loop in loops])
    result = Both(seen, [], [], [])
    for place, given in batches.items():
        result.records.append(reference.step(*place, given))
        result.parameters.append({n: p.detach().clone() for n, p in reference.parameters.items()})
        result.statistics.append([dict(own) for own in reference.statistics])
    return result


@pytest.fixture(
    params=[
        ("method.p1_update=epoch", "optimizer.schedule=cosine"),
        (
            "method.p1_update=iteration",
            "optimizer.schedule=multistep",
            "optimizer.milestones=[1, 2]",
            "optimizer.gamma=0.4",
        ),
    ],
    ids=["cosine", "multistep"],
)
def trained(request: pytest.FixtureRequest, tiny_job: Callable[..., Job]) -> Both:
    if request.param not in DONE:
        DONE[request.param] = both(tiny_job(*JOB, *request.param))
    return DONE[request.param]


DONE: dict[tuple[str, ...], Both] = {}
"""A training takes half a second, and several tests look at it."""


def test_a_training_equals_the_reference_to_the_ninth_digit(trained: Both) -> None:
    for rank, seen in enumerate(trained.ranks):
        for step, record in enumerate(trained.records):
            _same_gradients(seen.gradients[step], record.gradients)
            wanted = trained.parameters[step] | trained.statistics[step][rank]
            for name, value in wanted.items():
                near(seen.states[step][name], value, f"{name} after step {step}")


def test_each_pass_has_the_losses_and_teachers_of_the_reference(trained: Both) -> None:
    for rank, seen in enumerate(trained.ranks):
        wanted = [
            (f"{bits}bit", loss, _name(record.teachers.get(bits)))
            for record in trained.records
            for bits, losses in record.losses[rank].items()
            for loss in losses
        ]
        assert [(p, t) for p, _, t in seen.passes] == [(p, t) for p, _, t in wanted]
        assert [x for _, x, _ in seen.passes] == pytest.approx([x for _, x, _ in wanted], abs=1e-9)
        for epoch, means in enumerate(seen.mean_losses):
            records = trained.records[epoch * STEPS : (epoch + 1) * STEPS]
            for bits in (8, 4, 2):
                every = [one for r in records for own in r.losses for one in own[bits]]
                assert means[f"{bits}bit"] == pytest.approx(sum(every) / len(every), abs=1e-9)


def test_the_reference_training_exercises_every_part_of_the_method(trained: Both) -> None:
    """Passes alone would disagree, and so would the ranks; teachers differ, blocks are swapped."""
    pairs = [
        (teacher, record.lonely[student])
        for record in trained.records
        for student, teacher in record.teachers.items()
    ]
    assert any(alone != [[teacher] * PASSES] * WORLD for teacher, alone in pairs)
    assert any(first != second for _, (first, second) in pairs)
    assert len({record.teachers[2] for record in trained.records}) > 1
    swapped = [record.swapped for record in trained.records]
    assert min(sum(swapped[:STEPS]), sum(swapped[STEPS:-STEPS])) > 0 == sum(swapped[-STEPS:])
    unused = [sum(g is None for g in record.gradients.values()) for record in trained.records]
    assert max(unused) > 0


def pictures() -> Given:
    """A global batch of 8."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (8, 3, 8, 8), generator=generator).byte()
    return images, torch.randint(3, (8,), generator=generator)


def one_step(loop: Loop, passes: list[Given], tally: Tally) -> None:
    train_epoch(
        loop,
        [_passes(passes)],
        tally,
        epoch=0,
        first_step=0,
        wants_stop=lambda: False,
        after_step=lambda done: None,
    )


def step_in_passes(job: Job, given: Given, world: int = 1, accumulation: int = 1) -> list[Seen]:
    """One step, shared by ranks and passes, with batch norm in evaluation mode."""
    meeting, parts = Meeting(world), world * accumulation
    passes = list(zip(*(tensor.chunk(parts) for tensor in given), strict=True))

    def program(loop: Loop) -> Seen:
        seen, own = Seen(), passes[loop.ranks.rank * accumulation :][:accumulation]
        loop.network.eval()
        loop.network.train = lambda mode=True: loop.network  # type: ignore[method-assign]
        one_step(loop, own, Noting(loop.method.loss_names, loop.ranks.device).note(seen))
        _look(loop.network, seen)
        return seen

    return meeting.run([partial(program, loop_of(job, ranks)) for ranks in meeting.ranks()])


def teachers(seen: Seen) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for point, _, teacher in seen.passes:
        found.setdefault(point, set()).add(teacher)
    return found


def test_teachers_and_gradients_do_not_depend_on_how_a_step_is_cut_into_passes(
    tiny_job: Callable[..., Job],
) -> None:
    job, given = tiny_job(*JOB, "method.p1=0.5", "method.lambda=0.002"), pictures()
    [whole] = step_in_passes(job, given)
    assert set(map(len, teachers(whole).values())) == {1}
    pairs = zip(*(tensor.chunk(4) for tensor in given), strict=True)
    alone = [teachers(seen) for pair in pairs for seen in step_in_passes(job, pair)]
    assert alone[0] != teachers(whole)  # the first pass by itself would choose others
    for world, accumulation in ((1, 2), (1, 4), (2, 1), (2, 2), (2, 4)):
        for seen in step_in_passes(job, given, world, accumulation):
            assert len(seen.passes) == accumulation * len(job.points)
            assert teachers(seen) == teachers(whole)
            _same_gradients(seen.gradients[0], whole.gradients[0])


ALONE = ("method={name: individual}", "quantizer.bit_widths=[4]")


@pytest.mark.parametrize("options", [JOB, ALONE], ids=["coquant", "individual"])
def test_gradients_are_averaged_from_the_last_layer_on_while_the_last_pass_goes_backward(
    tiny_job: Callable[..., Job], options: tuple[str, ...]
) -> None:
    job, twins, begun = tiny_job(*options), Twins(), list[int]()
    loop = loop_of(job, twins)
    layers = list(loop.network.convolutions())
    for layer in (layers[-1], layers[0], loop.network.conv1):
        layer.weight.register_hook(lambda _: begun.append(len(twins.sizes)))
    one_step(loop, [pictures()], Tally(loop.method.loss_names, twins.device))
    at_last_layer, at_first_layer, at_stem = begun
    assert at_last_layer == 0 < at_first_layer <= at_stem
    of_layers = sum(layer.weight.numel() for layer in layers)
    assert of_layers - 100 < sum(twins.sizes[:at_stem]) <= of_layers


@pytest.mark.parametrize("ranks", [Ranks(), Twins()], ids=["one rank", "two ranks"])
@pytest.mark.parametrize(
    ("options", "runs"),
    [(ALONE, 1), (("method={name: float}",), 1), (("quantizer.bit_widths=[8, 4, 2]",), 2)],
    ids=["individual", "float", "coquant"],
)
@pytest.mark.parametrize("batches", [1, 3])
def test_the_stem_runs_once_more_for_the_way_back_only_where_passes_meet_behind_it(
    tiny_job: Callable[..., Job],
    ranks: Ranks,
    options: tuple[str, ...],
    runs: int,
    batches: int,
) -> None:
    job, calls = tiny_job(*options), list[nn.Module]()
    loop = loop_of(job, ranks)
    loop.network.conv1.register_forward_hook(lambda layer, *_: calls.append(layer))
    one_step(loop, [pictures()] * batches, Tally(loop.method.loss_names, ranks.device))
    assert len(calls) == runs * batches
    assert loop.network.conv1.weight.grad is not None


def _same_gradients(
    found: Mapping[str, Tensor | None], wanted: Mapping[str, Tensor | None]
) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] is None) == (gradient is None), name
        if gradient is not None:
            near(found[name], gradient, f"gradient of {name}")


def _name(bits: int | None) -> str | None:
    return None if bits is None else f"{bits}bit"
