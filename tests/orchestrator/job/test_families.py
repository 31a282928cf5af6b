"""Names of components that are missing, unknown, or stand where a section is expected."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job

GOOD = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("quantizer.weights=lsq", "such as {name: coquant_trunc}, got 'lsq'."),
        ("quantizer.weights=[dorefa]", "such as {name: coquant_trunc}, got ['dorefa']."),
        ("quantizer.weights=dorefa", "such as {name: dorefa}, got 'dorefa'."),
        ("optimizer=sgd", "such as {name: sgd}, got 'sgd'."),
        ("phases=[{method: coquant}]", "such as {name: coquant}, got 'coquant'."),
    ],
)
def test_a_name_in_place_of_a_section_is_one_mistake(
    tmp_path: Path, override: str, problem: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    with pytest.raises(JobFileError) as caught:
        load_job(file, [override])
    [line] = caught.value.mistakes
    assert line.endswith(f": expected keys and values, {problem}")


def test_an_unknown_optimizer_is_one_mistake(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD.replace("{lr: 5e-2}", "{name: foo, lr: 5e-2}"))
    with pytest.raises(JobFileError) as caught:
        load_job(file, ["training.epochs=x"])
    keys = [line.split("  ")[1].split(":")[0] for line in caught.value.mistakes]
    assert keys == ["optimizer.name", "training.epochs"]
