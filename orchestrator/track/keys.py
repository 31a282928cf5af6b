"""Every metric name, once. The part before the last slash groups the charts that are compared."""

METRICS = {"top1": "top-1 accuracy (%)", "map": "mAP (%)"}
"""What a data set can be judged by, and how a table calls it."""

DELTA_B = "delta_b"
THROUGHPUT = "throughput/samples_per_second"
EPOCH_SECONDS = "throughput/epoch_seconds"
BROKEN_TRAIN = "samples/broken_train"
BROKEN_VAL = "samples/broken_val"


def metric(name: str, bits: int) -> str:
    """Name the result of a bit-width on the evaluation set, in per cent: `top1/8bit`."""
    return f"{name}/{bits}bit"


def loss(bits: int) -> str:
    """Name the mean training loss of a bit-width over an epoch."""
    return f"loss/{bits}bit"


def val_loss(bits: int) -> str:
    """Name the mean cross-entropy of a bit-width on the evaluation set."""
    return f"val_loss/{bits}bit"


def teacher_share(student: int, teacher: int) -> str:
    """Name the share of steps in which a student learned from a teacher, in [0, 1]."""
    return f"teacher_share/{student}bit/from_{teacher}bit"


def clip_level(bits: int, statistic: str) -> str:
    """Name the smallest (`min`) or mean clip level over the layers of a bit-width."""
    return f"weights/clip_level/{bits}bit_{statistic}"


def learning_rate(group: str) -> str:
    """Name the learning rate of a parameter group."""
    return f"optimizer/lr_{group}"
