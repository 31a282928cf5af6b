import time
from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_each_bit_width, load_job, load_values
from orchestrator.job.schema import job_from_dict

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
    loaded = load_job(file, ["training.epochs=7", "quantizer.activations.clip_init=4"])
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
    assert load_job(file).job.data.root == str(tmp_path / "base" / "data")
    assert load_job(file, ["data.root=mine"]).job.data.root == str(here / "mine")
    assert load_job(file).job.output == str(here / "runs")


def test_environment_variables_in_paths_are_filled_in_or_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, GOOD.replace("root: data", "root: '${PICTURES}/cifar'"))
    assert any("PICTURES is not set" in mistake for mistake in mistakes_of(file))
    monkeypatch.setenv("PICTURES", "/pictures")
    assert load_job(file).job.data.root == "/pictures/cifar"
    other = load_job(file, ["data.root=${NOWHERE:-/here}/x"])
    assert other.job.data.root == "/here/x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "not valid YAML"),
        (
            GOOD.replace("name: mine", "name: 0042"),
            "name: expected text, got 42; write it in q",
        ),
        (GOOD.replace("name: mine", "name: last"), "name: 'last' would be taken for a run"),
        (GOOD.replace("name: mine", f"name: '{'0' * 32}'"), "would be taken for a run"),
        (GOOD.replace("name: mine", "name: a-20240601-120000-ab12"), "would be taken for a run"),
        (GOOD.replace("name: mine", "name: a-20240601-120000-ab12.a2"), "would be taken for a run"),
        (GOOD.replace("name: mine", "name: a.t007"), "would be taken for a run"),
        (GOOD.replace("name: mine", "name: a.t1000s2"), "would be taken for a run"),
        (GOOD.replace("5e-2", "true"), "optimizer.lr: expected a number, got true"),
        (GOOD.replace("5e-2", "yes"), "optimizer.lr: expected a number, got 'yes'"),
        (GOOD.replace("5e-2", "1:30"), "optimizer.lr: expected a number, got '1:30'"),
        (GOOD.replace("5e-2", "'0.1'"), "optimizer.lr: expected a number, got '0.1'"),
        (GOOD.replace("5e-2", "1e999"), "got inf"),
        (GOOD.replace("1e-3", ".nan"), "method.lambda: "),
        (GOOD.replace("epochs: 3", "epochs: 3.0"), "training.epochs: expected a whole number"),
        (GOOD.replace("epochs: 3", "epochs: true"), "training.epochs: expected a whole number"),
        (
            GOOD.replace("epochs: 3", f"epochs: {10**40}"),
            "training.epochs: expected a number below",
        ),
        (GOOD + "optimizer.x: 1\n", "unknown key"),
        (GOOD + "cluster: {gpus_per_worker: true}\n", "gpus_per_worker: expected a whole number"),
        (GOOD + "cluster: {gpus_per_worker: 1.0}\n", "gpus_per_worker: expected a whole number"),
        (GOOD.replace("5e-2", "5e-2, shared_lr_div: yes"), "expected true or false, got 'yes'"),
        (GOOD.replace("5e-2", "5e-2, shared_lr_div: 1"), "expected true or false, got 1"),
        (GOOD + "tracking: {experiment: 2024}\n", "expected text, got 2024; write it in quotes"),
        (GOOD.replace("root: data", "root: 7"), "data.root: expected text, got 7"),
        (GOOD.replace("root: data", "root: ''"), "data.root: expected a path, got ''"),
        (GOOD.replace("root: data", "root: ~nobody_at_all/x"), "home folder of ~nobody_at_all"),
        (GOOD + f"quantizer: {{bit_widths: {[8] * 900}}}\n", "listed once each; repeated: 8bit"),
        (GOOD.replace("cifar}", "cifar, depths: [1, 1, 1, 99999999]}"), "more than 1000 blocks"),
        (GOOD.replace("cifar}", "cifar, widths: [1, 1, 1, 9999999]}"), "wider than 65536 channels"),
        (GOOD.replace("128}", "2000000000}") + "cluster: {num_workers: 3}\n", "; 2 or 4 can."),
        (GOOD + "cluster: {loader_workers: 2000000000}\n", "less than or equal to 1000"),
        (GOOD + "reference: {runs: {8: a, 8bit: b, 6: c, 4: d, 2: e}}\n", "same key twice in diff"),
        (GOOD + "reference: {runs: {x: a}}\n", "names no run for 8bit, 6bit, 4bit, 2bit; give one"),
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


def test_a_text_on_the_command_line_is_taken_whole(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    given = "/mnt/disk #2/clips"
    assert load_job(file, [f"data.root={given}"]).job.data.root == given
    assert load_job(file, ["tracking.experiment=a: b"]).job.tracking.experiment == "a: b"
    assert load_job(file, ["seed=0042"]).job.seed == 42


@pytest.mark.parametrize("name", ["20240601", "no", "007", "1e5", "null", "true"])
def test_a_name_is_text_whatever_it_looks_like(tmp_path: Path, name: str) -> None:
    assert load_job(write(tmp_path, GOOD), name=name).job.name == name


@pytest.mark.parametrize("name", ["a #b", "", "[x]", "last", "-a"])
def test_a_name_that_is_not_allowed_is_blamed_on_its_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobFileError) as caught:
        load_job(write(tmp_path, GOOD), ["seed=1"], name=name)
    [mistake] = caught.value.mistakes
    assert mistake.startswith("--name  name: ")
    assert repr(name) in mistake


@pytest.mark.parametrize("key", ["tracking.url", "tracking.uri", "name", "data.root.x"])
def test_no_message_repeats_a_secret_in_a_uri(tmp_path: Path, key: str) -> None:
    file = write(tmp_path, GOOD)
    for uri in ("http://me:hush@host", "https://hush@host", "https://host/?token=hush"):
        for override in (f"{key}={uri}", f"{key}=[{uri}", f"{key}: {uri}"):
            assert "hush" not in "".join(mistakes_of(file, override))


def test_hundreds_of_mistakes_are_found_in_a_moment(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "\n".join(f"unknown_{n}: 1" for n in range(450)))
    start = time.process_time()
    assert len(mistakes_of(file)) == 450
    assert time.process_time() - start < 3


def test_files_that_extend_each_other_in_pairs_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "f0.yaml")
    for n in range(1, 15):
        write(tmp_path, f"extends: [f{n - 1}.yaml, f{n - 1}.yaml]\nseed: {n}\n", f"f{n}.yaml")
    start = time.process_time()
    assert load_job(tmp_path / "f14.yaml").job.seed == 14
    assert time.process_time() - start < 2
    for n in range(15, 30):
        write(tmp_path, f"extends: f{n - 1}.yaml\n", f"f{n}.yaml")
    assert "extends: more than 20 files deep" in mistakes_of(tmp_path / "f29.yaml")[0]


def test_a_base_of_two_files_does_not_hide_what_one_of_them_says(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "seed: 1\n", "base.yaml")
    write(tmp_path, "extends: base.yaml\nseed: 2\n", "a.yaml")
    write(tmp_path, "extends: base.yaml\noptimizer: {lr: 0.2}\n", "b.yaml")
    job = load_job(write(tmp_path, "extends: [a.yaml, b.yaml]\n")).job
    assert (job.seed, job.optimizer.lr) == (2, 0.2)


def test_a_base_may_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASES", str(tmp_path / "bases"))
    write(tmp_path, GOOD, "bases/base.yaml")
    assert load_job(write(tmp_path, "extends: ${BASES}/base.yaml\n")).job.name == "mine"


def test_the_files_of_a_data_set_are_relative_to_its_root_or_resolved_like_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTS", "/lists")
    data = "{name: activitynet, root: data, annotations: '${LISTS}/a.json', videos: clips}"
    text = GOOD.replace("{name: cifar10, root: data}", data).replace(
        "resnet18_cifar}", "resnet18, num_segments: 8}"
    )
    job = load_job(write(tmp_path, text)).job
    assert (job.data.annotations, job.data.videos) == ("/lists/a.json", "clips")
    monkeypatch.delenv("LISTS")
    assert "LISTS is not set" in mistakes_of(write(tmp_path, text))[0]
    assert "videos: expected a path" in mistakes_of(write(tmp_path, text), "data.videos= ''")[1]


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


def test_a_job_survives_the_way_through_plain_values(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD)).job
    assert job_from_dict(job.as_dict()) == job


def test_a_missing_base_is_the_only_mistake_reported(tmp_path: Path) -> None:
    file = write(tmp_path, "extends: nowhere.yaml\nname: mine\n")
    [mistake] = mistakes_of(file)
    assert "there is no file" in mistake


def test_a_reference_on_the_command_line_replaces_the_one_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "reference: {published: cifar10_resnet18}\n")
    runs = "reference.runs={8: a, 6bit: b, 4: c, '2': d}"
    loaded = load_job(file, [runs])
    assert loaded.job.reference is not None
    assert loaded.job.reference.runs == {"8bit": "a", "6bit": "b", "4bit": "c", "2bit": "d"}
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


def test_a_loaded_job_is_loaded_again_from_its_values_with_other_settings(tmp_path: Path) -> None:
    text = GOOD + "phases: [{training: {epochs: 1}}, {optimizer: {lr: 1e-3}}]\n"
    first = load_job(write(tmp_path, text)).job
    again = load_values(first.as_dict(), "mine-1")
    assert again.job == first
    assert again.job.phase_jobs() == first.phase_jobs()
    changed = load_values(first.as_dict(), "mine-1", ["cluster.num_workers=4"])
    assert changed.job.cluster.num_workers == 4
    assert changed.origins["cluster.num_workers"] == "--set"
    assert changed.origins["optimizer.lr"] == "mine-1"


def test_mistakes_in_values_name_what_they_belong_to(tmp_path: Path) -> None:
    values = load_job(write(tmp_path, GOOD)).job.as_dict()
    values["optimizer"]["lr"] = "fast"
    with pytest.raises(JobFileError) as caught:
        load_values(values, "mine-1", ["training.epochs=0"])
    first, second = sorted(caught.value.mistakes)
    assert first.startswith("--set  training.epochs: ")
    assert second.startswith("mine-1  optimizer.lr: ")


def test_a_job_loaded_again_is_warned_of_its_overrides_alone(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD)).job.as_dict()
    assert load_values(job, "mine-1").warnings == []
    assert len(load_values(job, "mine-1", ["start.weights=a.pt"]).warnings) == 1


@pytest.mark.parametrize("override", ["quantizer=5", "reference=runs", "reference=5", "evaluate=5"])
def test_what_stands_in_place_of_a_section_is_a_mistake_of_individual_runs_too(
    tmp_path: Path, override: str
) -> None:
    with pytest.raises(JobFileError) as caught:
        load_each_bit_width(write(tmp_path, GOOD), [override])
    assert caught.value.mistakes == mistakes_of(write(tmp_path, GOOD), override)
    assert len(caught.value.mistakes) == 1


def test_a_method_that_is_no_section_is_a_mistake_of_individual_runs_too(tmp_path: Path) -> None:
    phases = "phases=[{method: coquant}]"
    for override, place in (("method=coquant", ""), (phases, "phase 1, ")):
        with pytest.raises(JobFileError) as caught:
            load_each_bit_width(write(tmp_path, GOOD), [override])
        expected = "expected keys and values, such as {name: coquant}, got 'coquant'."
        assert caught.value.mistakes[0] == f"--set  {place}method: {expected}"
