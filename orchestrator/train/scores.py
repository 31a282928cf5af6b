"""How well predictions match the truth: top-1 and mean average precision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def top1(predicted: NDArray[np.int64], targets: Sequence[Sequence[int]]) -> float:
    """Return the share of samples whose predicted class is their first target, in percent.

    predicted: (samples,). targets: the true classes of each sample, the training label first.
    """
    labels = np.array([classes[0] for classes in targets])
    return 100.0 * float((predicted == labels).mean())


def mean_average_precision(
    scores: NDArray[np.floating[Any]], targets: Sequence[Sequence[int]]
) -> float:
    """Return mAP in percent: the mean over all classes of the average precision.

    Samples are ranked by score, stable and descending; the average precision of a class is the
    mean over its positives of the precision at their rank, without interpolation, and 0 for a
    class without positives.
    """
    samples, classes = scores.shape
    truth = np.zeros((samples, classes), dtype=bool)
    for row, positives in enumerate(targets):
        truth[row, list(positives)] = True
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, samples + 1)[:, None]
    average = (precision * hits).sum(axis=0) / np.maximum(1, hits.sum(axis=0))
    return 100.0 * float(average.mean())


@dataclass(frozen=True)
class Metric:
    """How a data set is judged: what to keep of each batch's scores, and the metric over all of it.

    keep: scores (batch, classes) -> one row per sample, on their device.
    judge: all rows and targets -> percent. over_classes: whether that is a mean over all classes.
    """

    keep: Callable[[Tensor], Tensor]
    judge: Callable[[NDArray[Any], Sequence[Sequence[int]]], float]
    over_classes: bool = False


METRICS = {
    "top1": Metric(keep=lambda scores: scores.argmax(dim=1), judge=top1),
    "map": Metric(keep=lambda scores: scores, judge=mean_average_precision, over_classes=True),
}
