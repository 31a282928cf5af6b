"""MLflow shows the sections of charts in the order of the alphabet."""

import pytest

from orchestrator.track import keys
from orchestrator.wording import by_point


def section(key: str) -> str:
    return key.rpartition("/")[0]


def test_the_results_are_the_first_section_of_charts() -> None:
    others = [
        *(keys.THROUGHPUT, keys.EPOCH_SECONDS, keys.BROKEN_TRAIN, keys.BROKEN_VAL),
        *(keys.loss("8bit"), keys.val_loss("8bit"), keys.teacher_share("2bit", "8bit")),
        *(keys.clip_level("2bit", "min"), keys.learning_rate("shared")),
        *(keys.weight_step("2bit", "min"), keys.input_step("2bit", "mean")),
    ]
    for name in keys.METRICS:
        result = section(keys.metric(name, "8bit"))
        assert result == section(keys.metric(name, "2bit"))
        assert min([result, *map(section, others)]) == result


@pytest.mark.parametrize("point", ["8bit", "w1a4", "float", "mixed"])
def test_every_name_of_a_metric_ends_in_the_operating_point(point: str) -> None:
    assert keys.metric("top1", point) == f"top1/{point}"
    assert keys.loss(point) == f"train_loss/{point}"
    assert keys.val_loss(point) == f"val_loss/{point}"
    assert keys.clip_level(point, "min") == f"weights/clip_level/{point}_min"
    assert keys.weight_step(point, "mean") == f"weights/step/{point}_mean"
    assert keys.input_step(point, "min") == f"weights/input_step/{point}_min"
    assert keys.teacher_share("2bit", point) == f"training/teacher_share/2bit/from_{point}"
    assert by_point({point: 91.25}) == f"{point} 91.2"
