"""Every metric name, once.

MLflow groups charts by the part of the name before the last slash, in alphabetical order: the
results, `map` or `top1`, come first, so everything else has a name later in the alphabet.
"""

METRICS = {"top1": "top-1 accuracy (%)", "map": "mAP (%)"}
"""The metrics of data sets, and their names in tables."""

DELTA_B = "delta_b"
EPOCH = "epoch"
THROUGHPUT = "training/samples_per_second"
DATA_SHARE = "training/data_share"
EPOCH_SECONDS = "training/epoch_seconds"
BROKEN_TRAIN = "training/broken_samples"
BROKEN_VAL = "validation/broken_samples"

TIMES = frozenset({THROUGHPUT, EPOCH_SECONDS, DATA_SHARE})
"""The metrics that measure time: done again, a step has others."""


def metric(name: str, point: str) -> str:
    """Name the result at an operating point on the evaluation set, in percent: `top1/8bit`."""
    return f"{name}/{point}"


def loss(point: str) -> str:
    """Name the mean training loss at an operating point over an epoch."""
    return f"train_loss/{point}"


def val_loss(point: str) -> str:
    """Name the mean cross-entropy at an operating point on the evaluation set."""
    return f"val_loss/{point}"


def spread(point: str) -> str:
    """Name the standard deviation of the result at random precisions over several passes."""
    return f"validation/spread/{point}"


def teacher_share(student: str, teacher: str) -> str:
    """Name the share of passes in which a student learned from a teacher, in [0, 1]."""
    return f"training/teacher_share/{student}/from_{teacher}"


def clip_level(precision: str, statistic: str) -> str:
    """Name the smallest (`min`) or mean clip level over the layers, at a precision or "shared"."""
    return f"weights/clip_level/{precision}_{statistic}"


def weight_step(bits: str, statistic: str) -> str:
    """Name the smallest (`min`) or mean learned step of weights over the layers, at "4bit"."""
    return f"weights/step/{bits}_{statistic}"


def input_step(precision: str, statistic: str) -> str:
    """Name the smallest (`min`) or mean learned step of activations over the layers."""
    return f"weights/input_step/{precision}_{statistic}"


def learning_rate(role: str) -> str:
    """Name the learning rate of the parameters of a role."""
    return f"training/lr_{role}"
