"""MLflow shows the sections of charts in the order of the alphabet."""

import pytest

from models.bitwidth import FLOAT
from orchestrator.track import keys
from orchestrator.wording import by_bits


def section(key: str) -> str:
    return key.rpartition("/")[0]


def test_the_results_are_the_first_section_of_charts() -> None:
    others = [
        *(keys.THROUGHPUT, keys.EPOCH_SECONDS, keys.BROKEN_TRAIN, keys.BROKEN_VAL),
        *(keys.loss(8), keys.val_loss(8), keys.teacher_share(2, 8), keys.clip_level(2, "min")),
        keys.learning_rate("shared"),
    ]
    for name in keys.METRICS:
        result = section(keys.metric(name, 8))
        assert result == section(keys.metric(name, 2))
        assert min([result, *map(section, others)]) == result


@pytest.mark.parametrize(("bits", "label"), [(8, "8bit"), (2, "2bit"), (FLOAT, "float")])
def test_every_name_of_a_metric_says_the_bit_width_or_float(bits: int, label: str) -> None:
    assert keys.metric("top1", bits) == f"top1/{label}"
    assert keys.loss(bits) == f"train_loss/{label}"
    assert keys.val_loss(bits) == f"val_loss/{label}"
    assert keys.clip_level(bits, "min") == f"weights/clip_level/{label}_min"
    assert keys.teacher_share(2, bits) == f"training/teacher_share/2bit/from_{label}"
    assert by_bits({str(bits): 91.25}) == f"{label} 91.2"
