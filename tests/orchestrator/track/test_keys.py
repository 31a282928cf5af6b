"""MLflow shows the sections of charts in the order of the alphabet."""

from orchestrator.track import keys


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
