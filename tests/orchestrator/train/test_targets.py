"""Label smoothing, against torch's own, and on its way from a job to the loss of a method."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.methods.coquant import CoQuant
from orchestrator.job.schema import Job
from orchestrator.train.targets import smoothed


def test_cross_entropy_with_smoothed_labels_is_that_of_label_smoothing() -> None:
    logits, labels = torch.randn(6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    soft = smoothed(labels, share=0.1, classes=5)
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(F.cross_entropy(logits, soft), expected)
    assert smoothed(labels, share=0.0, classes=5) is labels


def test_a_method_learns_from_the_smoothed_labels_of_its_job(
    tiny_job: Callable[..., Job], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    losses = CoQuant.losses

    def noting(self: CoQuant, network: Any, batches: Any, step: Any) -> Any:
        seen.extend(batch.labels for batch in batches)
        return losses(self, network, batches, step)

    monkeypatch.setattr(CoQuant, "losses", noting)
    run(tiny_job("training.label_smoothing=0.4", "training.epochs=1"))
    (classes,) = {labels.shape[1] for labels in seen}
    values = torch.cat(seen).unique()
    torch.testing.assert_close(values, torch.tensor([0.4 / classes, 0.6 + 0.4 / classes]))
