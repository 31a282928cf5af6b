"""The keys of a job's settings."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


@pytest.mark.parametrize(
    ("override", "place", "key"),
    [
        ("method.swap_probability=0.9", "method.swap_probability", "p1"),
        ("method.distance_weight=0.1", "method.distance_weight", "lambda"),
        ("start.source=scratch", "start.source", "from"),
        ("phases=[{method: {swap_probability: 0.9}}]", "phase 1, method.swap_probability", "p1"),
    ],
)
def test_a_setting_has_one_key_which_is_suggested_for_the_name_that_python_code_uses(
    tmp_path: Path, override: str, place: str, key: str
) -> None:
    file = tmp_path / "mine.yaml"
    for text in (JOB, JOB.replace(", lambda: 1e-3, p1: 0.9", "")):
        file.write_text(text)
        with pytest.raises(JobFileError) as caught:
            load_job(file, [override])
        [mistake] = caught.value.mistakes
        assert mistake.startswith(f"--set  {place}: unknown key. Did you mean '{key}'? Known: ")


@pytest.mark.parametrize("inside", ["method: {KEY: 0.9}", "phases: [{method: {KEY: 0.9}}]"])
def test_an_unknown_key_in_a_file_that_extends_another_is_a_mistake(
    tmp_path: Path, inside: str
) -> None:
    (tmp_path / "base.yaml").write_text(JOB)
    file = tmp_path / "mine.yaml"
    for key in ("swap_probability", "p2"):
        file.write_text(f"extends: base.yaml\n{inside.replace('KEY', key)}\n")
        with pytest.raises(JobFileError) as caught:
            load_job(file)
        [mistake] = caught.value.mistakes
        assert f"mine.yaml:2  {'phase 1, ' * ('phases' in inside)}method.{key}: unknown" in mistake
        assert "Did you mean 'p1'?" in mistake
