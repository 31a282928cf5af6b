"""What a benchmark says that teachers have to teach is what the losses and gradients are."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from benchmarks.alone import train
from benchmarks.coquant_lessons import Lesson, Lessons, lessons, means, trained
from orchestrator.data.loader import train_batches
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import open_datasets
from orchestrator.store.run_folder import RunFolder


def test_lessons_are_the_losses_and_gradients_of_a_trained_network(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = tiny_job("training.epochs=1", "method.lambda=0", "quantizer.bit_widths=[8, 2]")
    train(job, tmp_path / "run")
    train_set, _ = open_datasets(job)
    network = trained(job, RunFolder(tmp_path / "run"), train_set.num_classes)
    steps = train_batches(train_set, job.plans[-1], rank=0, seed=0, epoch=1)
    batch = next(chain.from_iterable(steps))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = lessons(network, job, batch)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name

    high, low = (network(batch.inputs, point) for point in job.points)
    p, q = (F.softmax(logits.double(), dim=1) for logits in (high, low))
    kl = (p.detach() * (p.detach() / q).log()).sum(1).mean()
    ce = [-(one[range(len(one)), batch.labels]).log().mean() for one in (p, q)]
    convolutions = [one for one in network.parameters() if one.dim() == 4]
    of_high, of_low, of_kl = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, convolutions, retain_graph=True)])
        for loss in (*ce, kl)
    )
    lesson = found.of["2bit"]
    assert (lesson.ce, lesson.teacher_ce) == pytest.approx((ce[1].item(), ce[0].item()), rel=1e-4)
    assert lesson.kl == pytest.approx(kl.item(), rel=1e-3)
    assert lesson.gradient == pytest.approx(float(of_kl.norm() / of_low.norm()), rel=1e-3)
    whole = float(of_kl.norm() / (of_high + of_low).norm())
    assert found.step_gradient == pytest.approx(whole, rel=1e-3)
    assert lesson.teacher_top1 == 100 * float((high.argmax(1) == batch.labels).double().mean())
    assert lesson.top1 == 100 * float((low.argmax(1) == batch.labels).double().mean())


def test_figures_are_means_over_batches() -> None:
    both = [Lessons({"2bit": Lesson(*(one,) * 6)}, one) for one in (1.0, 3.0)]
    students = {"2bit": dict.fromkeys(Lesson._fields, 2.0)}
    assert means(both) == {"students": students, "step_gradient": 2.0}
