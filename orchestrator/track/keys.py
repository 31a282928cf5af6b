"""Every metric name, once.

MLflow makes a section of charts of what stands before the last slash, in the order of the alphabet:
the results, `map` or `top1`, come first, so everything else is called by a later name.
"""

from models.bitwidth import FLOAT

METRICS = {"top1": "top-1 accuracy (%)", "map": "mAP (%)"}
"""What a data set can be judged by, and how a table calls it."""

DELTA_B = "delta_b"
THROUGHPUT = "training/samples_per_second"
EPOCH_SECONDS = "training/epoch_seconds"
BROKEN_TRAIN = "training/broken_samples"
BROKEN_VAL = "validation/broken_samples"


def label(bits: int) -> str:
    """Name an operating point in metrics and lines: "8bit", or "float"."""
    return "float" if bits == FLOAT else f"{bits}bit"


def metric(name: str, bits: int) -> str:
    """Name the result of a bit-width on the evaluation set, in per cent: `top1/8bit`."""
    return f"{name}/{label(bits)}"


def loss(bits: int) -> str:
    """Name the mean training loss of a bit-width over an epoch."""
    return f"train_loss/{label(bits)}"


def val_loss(bits: int) -> str:
    """Name the mean cross-entropy of a bit-width on the evaluation set."""
    return f"val_loss/{label(bits)}"


def teacher_share(student: int, teacher: int) -> str:
    """Name the share of steps in which a student learned from a teacher, in [0, 1]."""
    return f"training/teacher_share/{label(student)}/from_{label(teacher)}"


def clip_level(bits: int, statistic: str) -> str:
    """Name the smallest (`min`) or mean clip level over the layers of a bit-width."""
    return f"weights/clip_level/{label(bits)}_{statistic}"


def learning_rate(group: str) -> str:
    """Name the learning rate of a parameter group."""
    return f"training/lr_{group}"
