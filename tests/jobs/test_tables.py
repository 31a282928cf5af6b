"""Every row of the papers' tables that can be trained has a job, under the row's own name."""

from pathlib import Path

import pytest

from orchestrator.job import weights
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.plan.batch import plan_batch
from orchestrator.published import PublishedRow, published_rows
from orchestrator.runs.turns import in_turn

TABLES = Path(__file__).parents[2] / "jobs" / "tables"
FILES = sorted(file for file in TABLES.glob("*/*.yaml") if file.stem != "float")
FLOATS = sorted(TABLES.glob("*/float.yaml"))
STARTS = sorted(TABLES.parent.glob("float/*/*.yaml"))


def row_of(job: Job) -> PublishedRow:
    """Return the row that a job is called after, perhaps with its bit-width behind it.

    A search is a part of several rows, whose names begin like its own.
    """
    rows, group = published_rows(), job.name.rpartition("_")[0]
    found = rows.get(job.name) or rows.get(group)
    return found or next(row for name, row in rows.items() if name.startswith(f"{group}_"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_job_is_a_row_of_its_table(file: Path) -> None:
    loaded = load_job(file)
    job, cluster = loaded.job, loaded.job.cluster
    assert loaded.warnings == []
    assert job.name == f"{file.parent.name}_{file.stem}"
    row = row_of(job)
    assert file.read_text().startswith(f"# {row.paper}")
    assert row.table in file.read_text().splitlines()[0]
    points = {point.name for point in (*job.points, *job.evaluate.operating_points)}
    assert points <= row.values.keys() or row.values.keys() <= points
    assert row.metric.removesuffix("_difference") == getattr(job.data, "metric", "top1")
    plan_batch(job.training.global_batch, cluster.num_workers, cluster.max_batch_per_worker)


@pytest.mark.parametrize("file", STARTS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_network_that_rows_start_from_or_learn_from_has_a_job(file: Path) -> None:
    loaded = load_job(file)
    assert loaded.warnings == []
    assert loaded.job.name.startswith(f"{file.parent.name}_{file.stem}")


def test_no_job_aims_at_the_row_that_bit_mixer_calls_adabits_and_is_not() -> None:
    """Bit-Mixer Table 7 quotes AdaBits' individual ResNet50."""
    assert len(FILES) > 60
    names = {f"{file.parent.name}_{file.stem}" for file in FILES}
    assert "bitmixer_t7_resnet50_adabits" not in names
    assert not any("bitmixer_t7_resnet50_adabits" in file.read_text() for file in FILES)


def test_rows_with_the_numbers_of_a_taught_row_of_table_2_have_its_teacher() -> None:
    """Bit-Mixer prints its teachers in Table 2 alone; other tables repeat rows of it."""
    rows = published_rows()
    teachers = {
        (str(row.values), str(row.other)): {"float": "float", "stage1": "stage1", "alone": "none"}[
            name.rpartition("_")[2]
        ]
        for name, row in rows.items()
        if name.startswith("bitmixer_t2_")
    }
    found = {}
    for file in TABLES.glob("bitmixer_t*/*.yaml"):
        job = load_job(file).job
        last = job.phase_jobs()[-1].method
        if last.name == "bitmixer" and job.name in rows:
            row = rows[job.name]
            wanted = teachers.get((str(row.values), str(row.other)))
            assert last.teacher == (wanted or last.teacher), file
            found[f"{file.parent.name}/{file.stem}"] = wanted
    taught = {name: wanted for name, wanted in found.items() if wanted and "_t2/" not in name}
    assert taught == {
        "bitmixer_t1/transitional": "float",
        "bitmixer_t3/stage2_432": "stage1",
        "bitmixer_t5/symmetric": "none",
        "bitmixer_t7/resnet18_stage2": "stage1",
        "bitmixer_t7/resnet18_stage3": "float",
    }
    without = load_job(TABLES / "bitmixer_t1" / "without_transitional.yaml").job
    assert {phase.method.teacher for phase in without.phase_jobs()} == {"float"}


@pytest.mark.parametrize("table", [f"coquant_t{number}" for number in range(1, 7)])
def test_a_table_holds_what_its_rows_start_from(table: str) -> None:
    """So one command trains it: each row begins once what it starts from has ended."""
    jobs = {file.stem: load_job(file).job for file in (TABLES / table).glob("*.yaml")}
    order = in_turn(list(jobs.values()))
    assert len(order) == len(jobs) == 13
    assert order.index(jobs["float"].name) < order.index(f"{table}_direct_32_calibrated")
    assert order.index(f"{table}_individual_8") < order.index(f"{table}_direct_8")
    for stem, job in jobs.items():
        before = [Path(given).name for given in weights.named(job)]
        wanted = jobs["float"].name if stem != "float" else "imagenet_r"
        wanted = f"{table}_individual_8" if stem.startswith("direct_8") else wanted
        assert all(name.startswith(wanted) for name in before)
        assert before or table in ("coquant_t1", "coquant_t2") or stem == "float"
        assert (job.method.name == "direct") == stem.startswith("d")


@pytest.mark.parametrize("file", FLOATS, ids=lambda file: file.parent.name)
def test_the_float_model_of_a_table_is_that_of_its_other_jobs(file: Path) -> None:
    job = load_job(file).job
    original = TABLES.parent / "float" / f"{job.name.removesuffix('_float')}.yaml"
    assert job == load_job(original).job
    assert file.read_text().startswith('# CoQuant Table 9, "Full precision"')
    assert f"Table {file.parent.name[-1]} " in file.read_text()


def test_adabits_decays_weights_of_full_convolutions_and_linear_layers_alone() -> None:
    job = load_job(TABLES / "adabits_t4" / "original_mobilenet_v2_adabits.yaml").job
    roles = ("weight", "depthwise", "norm", "bias", "clip")
    decays = [job.optimizer.weight_decay_of(role) for role in roles]
    assert decays == [4e-5, 0, 0, 0, 0]


def test_one_weight_has_ranges_that_follow_the_batches() -> None:
    job = load_job(TABLES / "oneweight_t1" / "quantized_w1.yaml").job
    assert (job.quantizer.weights.name, job.quantizer.activations.name) == (
        "one_weight",
        "moving_range",
    )
