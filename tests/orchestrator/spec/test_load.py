from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.spec.job import job_from_dict
from orchestrator.spec.load import load_job

GOOD = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def mistakes_of(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        load_job(file, overrides)
    return caught.value.mistakes


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD)).job
    assert job.optimizer.lr == 0.05
    assert job.method.distance_weight == 0.001


def test_five_different_mistakes_are_all_named_with_line_and_key(tmp_path: Path) -> None:
    text = (
        GOOD.replace("resnet18_cifar", "resnet81_cifar")
        .replace("lambda: 1e-3", "lamda: 1e-3")
        .replace("lr: 5e-2", "lr: fast")
        .replace("epochs: 3, global_batch: 128", "epochs: 0, global_batch: 100")
        + "cluster: {num_workers: 3.5}\n"
    )
    found = mistakes_of(write(tmp_path, text))
    expected = [
        (3, "model.name", "Did you mean 'resnet18_cifar'?"),
        (5, "method.lamda", "Did you mean 'lambda'?"),
        (6, "optimizer.lr", "got 'fast'"),
        (7, "training.epochs", "greater than or equal to 1, got 0"),
        (8, "cluster.num_workers", "got 3.5"),
    ]
    assert len(found) == 5
    for line, key, words in expected:
        assert any(
            f"mine.yaml:{line}  {key}: " in mistake and words in mistake for mistake in found
        ), (key, found)


def test_a_stronger_source_wins_and_is_named_as_the_origin(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "seed: 1\n", "base/shared.yaml")
    file = write(tmp_path, "extends: base/shared.yaml\nname: other\ntraining: {epochs: 5}\n")
    loaded = load_job(file, ["training.epochs=7", "optimizer.clip.init=4"])
    assert loaded.job.training.epochs == 7
    assert loaded.job.training.global_batch == 128
    assert loaded.origins["training.epochs"] == "--set"
    assert loaded.origins["name"].endswith("mine.yaml:2")
    assert loaded.origins["seed"].endswith("base/shared.yaml:8")
    assert loaded.origins["optimizer.momentum"] == "default"


def test_paths_are_relative_to_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, GOOD, "base/shared.yaml")
    file = write(tmp_path, "extends: base/shared.yaml\n")
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    assert load_job(file).job.data.root == tmp_path / "base" / "data"
    assert load_job(file, ["data.root=mine"]).job.data.root == here / "mine"
    assert load_job(file).job.output == here / "runs"


def test_environment_variables_in_paths_are_filled_in_or_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, GOOD.replace("root: data", "root: '${PICTURES}/cifar'"))
    assert any("PICTURES is not set" in mistake for mistake in mistakes_of(file))
    monkeypatch.setenv("PICTURES", "/pictures")
    assert load_job(file).job.data.root == Path("/pictures/cifar")
    other = load_job(file, ["data.root=${NOWHERE:-/here}/x"])
    assert other.job.data.root == Path("/here/x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "not valid YAML"),
        ("just words", "expected keys and values"),
        ("", "expected keys and values"),
        ("name: a\nname: b\n" + GOOD.replace("name: mine", ""), "given twice (first on line 1)"),
        ("extends: nowhere.yaml\n" + GOOD, "there is no file"),
        ("extends: mine.yaml\n" + GOOD, "extends itself"),
        ("extends: 3\n" + GOOD, "expected a file name or a list of them, got 3"),
        (GOOD.replace("root: data", ""), "data.root: is required"),
        (GOOD.replace("name: mine", "name: 'a/b c'"), "got 'a/b c'"),
        (GOOD + "reference: {}\n", "give either `published`"),
        (GOOD + "reference: {publishd: x}\n", "Did you mean 'published'?"),
        (GOOD + "reference: {published: cifar10_resnet19}\n", "mean 'cifar10_resnet18'?"),
        (GOOD.replace("name: resnet18_cifar", "name: [1]"), "no model is called [1]"),
        (GOOD + "tracking: {uri: 'http://me:secret@host'}\n", "contains a password"),
        (GOOD + "quantizer: {bit_widths: [2, 8]}\n", "quantizer.bit_widths"),
        (GOOD + "quantizer: {bit_widths: [8]}\n", "two or more bit-widths"),
        (GOOD.replace("coquant, lambda: 1e-3, p1: 0.9", "individual"), "trains one bit-width"),
        (GOOD + "cluster: {num_workers: 7}\n", "7 workers cannot share a global batch of 128"),
        (GOOD.replace("cifar}", "cifar, num_segments: 8}"), "has images, not videos"),
        (GOOD.replace("lr: 5e-2", "lr: 5e-2, schedule: multistep"), "needs milestones"),
        (GOOD.replace("lr: 5e-2", "lr: 5e-2, milestones: [3, 2]"), "each later than the one"),
    ],
)
def test_each_mistake_has_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    found = mistakes_of(write(tmp_path, text))
    assert any(words in mistake and "mine.yaml" in mistake for mistake in found), found


@pytest.mark.parametrize("override", ["epochs", "=3", "a..b=1", "training.epochs=[", ""])
def test_a_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    assert any("--set" in mistake for mistake in mistakes_of(write(tmp_path, GOOD), override))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes_of(tmp_path / "nothing.yaml")[0]


def test_another_method_does_not_inherit_the_settings_of_the_one_before(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    loaded = load_job(file, ["method.name=individual", "quantizer.bit_widths=[4]"])
    assert loaded.job.method.name == "individual"
    assert sum("left out" in warning for warning in loaded.warnings) == 2
    assert (
        "unknown key"
        in mistakes_of(file, "method.name=individual", "quantizer.bit_widths=[4]", "method.p1=0.5")[
            0
        ]
    )


def test_settings_without_effect_are_warned_about(tmp_path: Path) -> None:
    loaded = load_job(
        write(tmp_path, GOOD), ["optimizer.schedule=multistep", "optimizer.milestones=[2, 30]"]
    )
    assert loaded.warnings == [
        "optimizer.milestones: 30 lie beyond the last of 3 epochs and have no effect."
    ]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method.teacher_mode=highest"], "method.lambda: no effect"),
        (["quantizer={weight_quant: dorefa, align_domain: none}"], "quantizer.align_domain: no"),
        (
            ["training.global_batch=74", "cluster={num_workers: 2, max_batch_per_worker: 36}"],
            "37 passes of 1,",
        ),
    ],
)
def test_what_is_switched_off_or_needlessly_small_is_warned_about(
    tmp_path: Path, overrides: list[str], words: str
) -> None:
    [warning] = load_job(write(tmp_path, GOOD), overrides).warnings
    assert words in warning


def test_a_job_survives_the_way_through_plain_values(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD)).job
    assert job_from_dict(job.as_dict()) == job


def test_a_base_that_is_missing_is_the_only_mistake_told(tmp_path: Path) -> None:
    file = write(tmp_path, "extends: nowhere.yaml\nname: mine\n")
    [mistake] = mistakes_of(file)
    assert "there is no file" in mistake


def test_a_reference_on_the_command_line_replaces_the_one_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "reference: {published: cifar10_resnet18}\n")
    runs = "reference.runs={8: a, 6: b, 4: c, 2: d}"
    loaded = load_job(file, [runs])
    assert loaded.job.reference is not None
    assert loaded.job.reference.runs == {8: "a", 6: "b", 4: "c", 2: "d"}
    assert loaded.job.reference.published is None


def test_a_section_that_is_switched_off_leaves_nothing_of_itself_behind(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "reference: {published: cifar10_resnet18}\n")
    loaded = load_job(file, ["reference.runs={8: a}", "reference=null"])
    assert loaded.job.reference is None
    assert loaded.origins["reference"] == "--set"


def test_a_mistake_that_an_override_makes_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    [mistake] = mistakes_of(write(tmp_path, GOOD), "model.widths=[0]")
    assert mistake.startswith("--set  model")
    assert "got inf" in mistakes_of(write(tmp_path, GOOD), "optimizer.lr=.inf")[0]
