"""Choose a point's teacher and learn from it (CoQuant Eq. 6, 7, 10, 11; Table 8)."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

Point = TypeVar("Point")
"""The caller's key of an operating point."""


def mean_entropy(logits: Sequence[Tensor], sum_over_ranks: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the entropy of softmax(logits), in nats, averaged over the global batch (Eq. 6).

    0-dim, float64, on the device. logits: (batch, classes) of each of this rank's batches.
    """
    log_probabilities = F.log_softmax(torch.cat(list(logits)).detach().double(), dim=1)
    total = -(log_probabilities.exp() * log_probabilities).sum()
    count = torch.full_like(total, len(log_probabilities))
    total, count = sum_over_ranks(torch.stack([total, count])).unbind()
    return total / count


def teacher_scores(
    entropy: Mapping[Point, float], distance: Mapping[Point, float], weight: float
) -> dict[Point, float]:
    """Return entropy + weight * distance for each candidate (Eq. 7).

    distance: sum over layers of the mean absolute weight difference to the student.
    weight: the paper's lambda; 0 looks at confidence only.
    """
    return {point: entropy[point] + weight * distance[point] for point in entropy}


def choose_teacher(scores: Mapping[Point, float]) -> Point:
    """Return the point with the smallest score, of equal ones the lowest.

    scores: from the highest point to the lowest.
    """
    return min(list(scores)[::-1], key=lambda point: scores[point])


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return KL(softmax(teacher) || softmax(student)) (Eq. 11).

    Summed over classes, averaged over the local batch; the teacher gets no gradient.
    """
    return F.kl_div(
        F.log_softmax(logits, dim=1),
        F.log_softmax(teacher_logits.detach(), dim=1),
        reduction="batchmean",
        log_target=True,
    )


def ensemble_loss(logits: Tensor, teacher_logits: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Return KL(sum_i softmax(shares)_i softmax(teacher_i) || softmax(student)).

    CoQuant Table 8, "Average" (equal shares) and "Learnable Weighted". Summed over classes,
    averaged over the local batch; the shares (teachers,) get a gradient, the teachers none.
    """
    each = F.log_softmax(torch.stack(list(teacher_logits)).detach(), dim=2)
    weighted = each + F.log_softmax(shares, dim=0)[:, None, None]
    return F.kl_div(
        F.log_softmax(logits, dim=1),
        torch.logsumexp(weighted, dim=0),
        reduction="batchmean",
        log_target=True,
    )


def feature_loss(outputs: Sequence[Tensor], teacher_outputs: Sequence[Tensor]) -> Tensor:
    """Return the mean over blocks of mean|A - A_teacher| (CoQuant Table 8, "w/ IFD").

    Of the outputs of each block, in the order of the blocks; the teacher gets no gradient.
    """
    pairs = zip(outputs, teacher_outputs, strict=True)
    return torch.stack([F.l1_loss(own, theirs.detach()) for own, theirs in pairs]).mean()
