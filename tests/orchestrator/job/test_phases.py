"""Several phases in one job: what each may change, and where mistakes in one are."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_each_bit_width, load_job
from orchestrator.job.schema import Job, job_from_dict

DESCENDING = """
name: descending
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: individual}
optimizer: {lr: 0.05, clip: {lr: 0.2}}
training: {epochs: 3, global_batch: 128}
phases:
  - {quantizer: {bit_widths: [8]}}
  - quantizer: {bit_widths: [4]}
    training: {epochs: 2}
    optimizer:
      lr: 1e-3
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def mistakes_of(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        load_job(write(folder, text), overrides)
    return caught.value.mistakes


def test_a_descending_schedule_is_two_phases_of_a_few_lines(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, DESCENDING)).job
    first, second = job.phase_jobs()
    assert (first.quantizer.bit_widths, first.training.epochs, first.optimizer.lr) == (
        (8,),
        3,
        0.05,
    )
    assert (second.quantizer.bit_widths, second.training.epochs, second.optimizer.lr) == (
        (4,),
        2,
        1e-3,
    )
    assert second.optimizer.clip.lr == 0.2
    assert second.data == job.data
    assert first.phases == second.phases == ()
    assert [point.name for point in job.points] == ["8bit", "4bit"]
    assert job.epochs == 5


def test_a_job_without_phases_is_its_only_phase(tmp_path: Path) -> None:
    text = DESCENDING.partition("phases:")[0] + "quantizer: {bit_widths: [4]}\n"
    job = load_job(write(tmp_path, text)).job
    assert job.phase_jobs() == (job,)
    assert job.epochs == job.training.epochs


def test_the_points_of_all_phases_are_listed_high_to_low_in_whichever_order_they_come(
    tmp_path: Path,
) -> None:
    text = DESCENDING.replace("[8]", "[2]").replace("[4]", "[6]")
    assert [point.name for point in load_job(write(tmp_path, text)).job.points] == ["6bit", "2bit"]


def test_phases_survive_the_way_through_plain_values(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, DESCENDING)).job
    assert job_from_dict(job.as_dict()) == job
    wrong = job.as_dict() | {"phases": [{"cluster": {"num_workers": 2}}]}
    with pytest.raises(ValidationError, match=r"phase 1, cluster: a phase changes"):
        job_from_dict(wrong)


def test_another_method_in_a_phase_takes_nothing_of_the_jobs_own(tmp_path: Path) -> None:
    own = "name: coquant, p1: 0.7, lambda: 1e-3"
    text = DESCENDING.replace("name: individual", own).replace("[8]}", "[8, 4]}")
    other = text.replace("[4]}\n", "[8]}\n")
    other += "    method: {name: individual, individual_b1: same}\n"
    first, second = load_job(write(tmp_path, other)).job.phase_jobs()
    assert first.method.swap_probability == 0.7
    assert second.method.individual_b1 == "same"
    same = text.replace("[4]}\n", "[6, 4]}\n") + "    method: {p1: 0.2}\n"
    first, second = load_job(write(tmp_path, same)).job.phase_jobs()
    assert (second.method.swap_probability, second.method.distance_weight) == (0.2, 1e-3)


@pytest.mark.parametrize("own_name", ["", "name: sgd, "])
@pytest.mark.parametrize("phase_name", ["", "name: sgd, "])
def test_an_optimizer_s_default_name_is_its_name_in_phases(
    tmp_path: Path, own_name: str, phase_name: str
) -> None:
    text = DESCENDING.replace("{lr: 0.05,", f"{{{own_name}lr: 0.05, momentum: 0, weight_decay: 0,")
    steps = f"[{{optimizer: {{{phase_name}schedule: multistep, milestones: [2]}}}}]"
    given = [f"phases={steps}", "quantizer.bit_widths=[4]"]
    [only] = load_job(write(tmp_path, text), given).job.phase_jobs()
    assert only.optimizer.milestones == (2,)
    assert (only.optimizer.lr, only.optimizer.momentum, only.optimizer.weight_decay) == (0.05, 0, 0)
    # The check sees what the run would have: without momentum, nesterov is a mistake.
    nesterov = f"phases=[{{optimizer: {{{phase_name}lr: 0.1, nesterov: true}}}}]"
    [mistake] = mistakes_of(tmp_path, text, nesterov, "quantizer.bit_widths=[4]")
    assert "phase 1, optimizer: nesterov needs a momentum above 0." in mistake


def test_every_mistake_in_a_phase_is_named_with_its_line(tmp_path: Path) -> None:
    text = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: individual}
quantizer: {bit_widths: [8]}
optimizer: {lr: 0.05}
training: {epochs: 3, global_batch: 128}
phases:
  - training: {epochs: 0}
    cluster: {num_workers: 3}
  - training: {global_batch: 2}
    optimizer:
      lr: fast
      milestone: 3
  - {method: {name: cocuant}}
  - quantizer: {bit_widths: [8, 4]}
"""
    found = mistakes_of(tmp_path, text)
    expected = [
        (10, "phase 1, training.epochs", "greater than or equal to 1, got 0"),
        (11, "phase 1, cluster", "no more"),
        (12, "phase 2, training.global_batch", "no more"),
        (14, "phase 2, optimizer.lr", "got 'fast'"),
        (15, "phase 2, optimizer.milestone", "Did you mean 'milestones'?"),
        (16, "phase 3, method.name", "Did you mean 'coquant'?"),
        (17, "phase 4, quantizer.bit_widths", "trains one bit-width"),
    ]
    assert len(found) == len(expected), found
    for line, key, words in expected:
        assert any(f"mine.yaml:{line}  {key}: " in one and words in one for one in found), key


def test_phases_of_one_run_agree_on_the_layout_of_the_network(tmp_path: Path) -> None:
    text = DESCENDING.replace("name: individual", "name: adabits").replace("[8]}", "[8, 4]}")
    text += "    method: {name: float}\n"
    [mistake] = mistakes_of(tmp_path, text)
    assert "mine.yaml:14  phase 2, method.name: 'float' needs another network than" in mistake
    assert "'adabits' in phase 1 (norm shared instead of switchable" in mistake


@pytest.mark.parametrize(
    ("stages", "wrong"),
    [
        ((1, 2, 3), []),
        ((2, 2), []),
        ((2, 1, 2), [(2, "1 after stage 2")]),
        ((1, 3), [(2, "3 after stage 1")]),
    ],
)
def test_the_stages_of_a_method_neither_go_back_nor_leave_one_out(
    tmp_path: Path, stages: tuple[int, ...], wrong: list[tuple[int, str]]
) -> None:
    bits = {1: "[w32a4, w32a2]", 2: "[4, 2]", 3: "[4, 2]"}
    text = DESCENDING.partition("phases:")[0] + "phases:\n"
    for stage in stages:
        text += f"  - method: {{name: bitmixer, stage: {stage}}}\n"
        text += f"    quantizer: {{bit_widths: {bits[stage]}}}\n"
    found = mistakes_of(tmp_path, text) if wrong else []
    if not wrong:
        load_job(write(tmp_path, text))
    assert len(found) == len(wrong)
    for line, (phase, problem) in zip(found, wrong, strict=True):
        assert f"phase {phase}, method.stage: stage {problem}; each stage goes on" in line


def test_codes_of_the_trained_bit_width_are_refused_beside_a_phase_with_other_ones(
    tmp_path: Path,
) -> None:
    same = DESCENDING.replace("individual", "individual, individual_b1: same")
    [mistake] = mistakes_of(tmp_path, same)
    assert "phase 2, method.individual_b1: same is 4 bits here, and the network" in mistake
    for bits in ("[8]", "[w32a4]"):
        load_job(write(tmp_path, same.replace("[4]", bits)))


def test_a_last_stage_begins_with_what_another_run_has_trained(tmp_path: Path) -> None:
    own = DESCENDING.partition("phases:")[0].replace("name: individual", "name: bitmixer")
    for text in (own, own + "phases: [{method: {stage: 3}}]\n"):
        mixed = text + "quantizer: {bit_widths: [4, 2]}\n"
        for start in ("scratch", "float, weights: float.pt"):
            [mistake] = mistakes_of(tmp_path, f"{mixed}start: {{from: {start}}}\n")
            assert "method.stage: stage 3 mixes what stage 2 has trained; give" in mistake
        load_job(write(tmp_path, mixed + "start: {from: checkpoint, weights: stage2}\n"))


def test_a_mistake_of_the_job_itself_is_named_once(tmp_path: Path) -> None:
    [mistake] = mistakes_of(tmp_path, DESCENDING.replace("lr: 0.05", "lr: 0.05, gama: 1"))
    assert "mine.yaml:6  optimizer.gama: unknown key." in mistake


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("3", "expected a list with the settings of each phase, also from --set: 'phases=[{train"),
        ("{a: 1}", "expected a list with the settings of each phase, also from --set: 'phases"),
        ("[1]", "phase 1: expected keys and values, got 1."),
        ("[{training: {epochs: 1}}, null]", "phase 2: expected keys and values, got None."),
        ("[[]]", "phase 1: expected keys and values, got []."),
    ],
)
def test_phases_that_are_no_list_of_settings_are_refused(
    tmp_path: Path, given: str, problem: str
) -> None:
    text = DESCENDING.partition("phases:")[0]
    text += f"quantizer: {{bit_widths: [4]}}\nphases: {given}\n"
    [mistake] = mistakes_of(tmp_path, text)
    assert f"mine.yaml:9  phases: {problem}" in mistake


def test_a_key_given_twice_in_a_phase_is_named(tmp_path: Path) -> None:
    text = DESCENDING + "      lr: 0.1\n"
    assert "mine.yaml:14  phase 2, optimizer.lr: given twice" in mistakes_of(tmp_path, text)[0]


def test_a_section_given_twice_is_one_mistake(tmp_path: Path) -> None:
    text = DESCENDING + "    optimizer: {lr: 0.1}\n"
    [mistake] = [line for line in mistakes_of(tmp_path, text) if "twice" in line]
    assert "phase 2, optimizer: given twice" in mistake


def test_a_section_that_no_phase_may_change_is_one_mistake(tmp_path: Path) -> None:
    [mistake] = mistakes_of(tmp_path, DESCENDING + "    model: {name: resnet50}\n")
    assert "phase 2, model: a phase changes" in mistake


def test_warnings_say_which_phase_they_are_about(tmp_path: Path) -> None:
    text = DESCENDING + "      gamma: 0.3\n"
    gamma = "optimizer.gamma: no effect, the schedule is cosine."
    assert load_job(write(tmp_path, text)).warnings == [f"phase 2, {gamma}"]
    text = DESCENDING.replace("lr: 0.05", "lr: 0.05, gamma: 0.3")
    assert load_job(write(tmp_path, text)).warnings == [gamma]


def test_a_setting_of_the_command_line_that_every_phase_hides_is_warned_about(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, DESCENDING)
    hidden = "quantizer.bit_widths: no effect, every phase sets it."
    assert load_job(file, ["quantizer.bit_widths=[2]"]).warnings == [hidden]
    assert load_job(file, ["training.epochs=9", "optimizer.lr=0.2"]).warnings == []


def test_each_value_of_a_phase_has_its_origin(tmp_path: Path) -> None:
    origins = load_job(write(tmp_path, DESCENDING)).origins
    assert origins["phases.1.quantizer.bit_widths"].endswith("mine.yaml:9")
    assert origins["phases.2.optimizer.lr"].endswith("mine.yaml:13")


def test_phases_on_the_command_line_replace_those_of_the_file(tmp_path: Path) -> None:
    overrides = ["phases=[{training: {epochs: 9}}]", "quantizer.bit_widths=[2]"]
    loaded = load_job(write(tmp_path, DESCENDING), overrides)
    [only] = loaded.job.phase_jobs()
    assert (only.training.epochs, only.quantizer.bit_widths) == (9, (2,))
    assert loaded.origins["phases.1.training.epochs"] == "--set"


def test_individual_runs_have_the_epochs_and_the_rates_of_all_phases(tmp_path: Path) -> None:
    both = write(tmp_path, DESCENDING + "evaluate: {points: [8]}\n")
    jobs: list[Job] = [one.job for one in load_each_bit_width(both)]
    assert [job.name for job in jobs] == ["descending_8bit", "descending_4bit"]
    for job, bits in zip(jobs, (8, 4), strict=True):
        assert [
            (p.quantizer.bit_widths, p.training.epochs, p.optimizer.lr) for p in job.phase_jobs()
        ] == [
            ((bits,), 3, 0.05),
            ((bits,), 2, 1e-3),
        ]


@pytest.mark.parametrize("points", ["[]", "[5]", "[w1a4]", "[5, w1a4]"])
def test_individual_runs_are_one_for_each_precision_that_is_compared(
    tmp_path: Path, points: str
) -> None:
    text = DESCENDING.replace("[8]", "[w1a4]").replace("[4]", "[8, 6]")
    text = text.replace("individual", "adabits").replace("[w1a4]", "[7, w1a4]")
    file = write(tmp_path, f"{text}evaluate: {{points: {points}}}\n")
    runs = [one.job.name.removeprefix("descending_") for one in load_each_bit_width(file)]
    assert runs == ["8bit", "6bit", *["w1a4"] * ("w1a4" in points)]
    job = load_job(file, ["reference.runs=one"]).job
    assert job.reference is not None
    assert job.reference.runs == {run: f"one_{run}" for run in runs}
    assert {point.name for point in job.compared} == set(runs)


def test_a_path_in_a_phase_starts_at_the_file(tmp_path: Path) -> None:
    taught = "{method: {name: bitmixer, stage: 2, teacher: float, teacher_weights: float.pt}}"
    own = DESCENDING.partition("phases:")[0] + f"phases: [{taught}]\n"
    job = load_job(write(tmp_path, own)).job
    (phase,) = job.phase_jobs()
    assert phase.method.teacher_weights == str(tmp_path / "float.pt")
    assert job_from_dict(job.as_dict()) == job
