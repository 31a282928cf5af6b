"""What methods learn from: the classes of the samples, or with label smoothing nearly them."""

from torch import Tensor
from torch.nn import functional as F


def smoothed(labels: Tensor, *, share: float, classes: int) -> Tensor:
    """Return labels (batch,) as they are; with a share, as probabilities (batch, classes).

    q(k) = (1 - share) [k = label] + share / classes  (Szegedy et al., CVPR 2016, label smoothing).
    Cross-entropy takes either.
    """
    if not share:
        return labels
    return F.one_hot(labels, classes).float().mul_(1 - share).add_(share / classes)
