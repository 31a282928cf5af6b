"""Every job file loads, and the papers' six carry exactly the published hyper-parameters."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from models.precision import OperatingPoint
from orchestrator.job import weights
from orchestrator.job.load import load_job
from orchestrator.job.search import axes
from orchestrator.plan.batch import plan_batch
from orchestrator.track.delta_b import published_reference

JOBS = Path(__file__).parents[2] / "jobs"

# CoQuant supplement, Table 2, with the epochs of appendix C; the weight decay is not published,
# 5e-4 and 1e-4 are usual on these data sets. In order: p1, lambda, alpha init, alpha lr, alpha wd,
# batch, lr, milestones (none: cosine), epochs, weight decay, initial weights.
PUBLISHED = {
    "cifar10_r18": (0.9, 1e-3, 8, 0.1, 1e-4, 128, 0.1, (150, 225, 270), 350, 5e-4, "scratch"),
    "cifar10_mbv2": (0.5, 1e-3, 8, 0.01, 4e-5, 128, 0.01, (82, 122), 160, 5e-4, "scratch"),
    "imagenet_r18": (0.7, 1e-3, 8, 0.1, 6e-5, 2880, 0.01, (30, 60, 85, 95), 100, 1e-4, "float"),
    "activitynet_r18": (0.5, 1e-3, 4, 0.01, 5e-4, 72, 0.01, (), 100, 5e-4, "float"),
    "activitynet_r50": (0.7, 1e-4, 4, 0.1, 5e-4, 72, 0.01, (), 100, 5e-4, "float"),
    "minikinetics_r18": (0.7, 1e-3, 2, 0.1, 1e-4, 576, 0.01, (), 100, 5e-4, "float"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_job_has_the_published_hyper_parameters(name: str) -> None:
    job = load_job(JOBS / f"{name}.yaml").job
    clip = job.optimizer.clip
    found = (
        job.method.swap_probability,
        job.method.distance_weight,
        job.quantizer.activations.clip_init,
        clip.lr,
        clip.weight_decay,
        job.training.global_batch,
        job.optimizer.lr,
        job.optimizer.milestones,
        job.training.epochs,
        job.optimizer.weight_decay,
        job.start.source,
    )
    assert found == PUBLISHED[name]
    assert [point.name for point in job.points] == ["8bit", "6bit", "4bit", "2bit"]
    assert job.optimizer.momentum == 0.9
    assert job.optimizer.gamma == 0.1
    assert job.optimizer.schedule == ("multistep" if PUBLISHED[name][7] else "cosine")


@pytest.mark.parametrize("file", sorted(JOBS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_job_loads_plans_and_names_its_target(file: Path) -> None:
    loaded = load_job(file)
    job = loaded.job
    assert job.name == file.stem
    assert loaded.origins["output"] == "default"  # a named cluster may say where it is
    assert loaded.warnings == []
    plan_batch(job.training.global_batch, job.cluster.num_workers, job.cluster.max_batch_per_worker)
    if job.reference is not None:
        row = published_reference(job.reference.published)
        assert set(row.values) == {point.name for point in job.points}
        assert row.metric == getattr(job.data, "metric", "top1")
    else:
        assert job.name == "quickstart"


@pytest.mark.parametrize("method", ["joint", "switchable_bn", "adabits", "any_precision"])
def test_a_baseline_is_the_papers_job_with_another_method(method: str) -> None:
    job, baseline = (load_job(JOBS / f"cifar10_r18{end}.yaml").job for end in ("", f"_{method}"))
    own, other = job.as_dict(), baseline.as_dict()
    assert other["method"]["name"] == method
    assert {key for key in own if own[key] != other[key]} == {"name", "method"}


FLOAT_JOBS = {
    "cifar10_r18": ("cifar10", 95.3, "scratch"),
    "cifar10_mbv2": ("cifar10", 94.1, "scratch"),
    "imagenet_r18": ("imagenet", 69.9, "scratch"),
    "activitynet_r18": ("activitynet", 67.3, "float"),
    "activitynet_r50": ("activitynet", 69.8, "float"),
    "minikinetics_r18": ("mini_kinetics", 66.3, "float"),
}


@pytest.mark.parametrize("name", FLOAT_JOBS)
def test_a_float_job_trains_the_network_that_a_job_of_the_paper_starts_from(name: str) -> None:
    loaded = load_job(JOBS / "float" / f"{name}.yaml")
    job, quantized = loaded.job, load_job(JOBS / f"{name}.yaml").job
    data, published, start = FLOAT_JOBS[name]
    assert loaded.warnings == []
    assert (job.name, job.method.name, job.points) == (
        *(f"{name}_float", "float"),
        (OperatingPoint.at("float"),),
    )
    assert (job.data.name, job.start.source) == (data, start)
    same = ("name", "widths", "depths", "num_segments")
    for key in same:
        assert getattr(job.model, key) == getattr(quantized.model, key)
    assert (job.data, job.output) == (quantized.data, quantized.output)
    row = published_reference(job.reference.published)
    assert row.values == {"float": published}
    assert row.metric == getattr(job.data, "metric", "top1")
    plan_batch(job.training.global_batch, job.cluster.num_workers, job.cluster.max_batch_per_worker)


def test_there_is_a_float_job_for_each_of_the_papers_jobs() -> None:
    of_another_float_job = {"imagenet_r50"}
    stems = {file.stem for file in JOBS.glob("float/*.yaml")}
    assert stems - of_another_float_job == FLOAT_JOBS.keys() == PUBLISHED.keys()


def test_the_weights_that_jobs_start_or_learn_from_are_those_of_other_jobs() -> None:
    """`orch submit` takes both, in one submission or one after the other."""
    jobs = {file: load_job(file).job for file in JOBS.rglob("*.yaml") if file.parent.name != "base"}
    names = {job.name for job in jobs.values()}
    starts = {file: Path(given).name for file, job in jobs.items() for given in weights.named(job)}
    assert starts[JOBS / "activitynet_r50.yaml"] == "activitynet_r50_float"
    assert set(starts.values()) <= names
    floats = [job for job in jobs.values() if job.start.source == "float"]
    assert len(floats) > 50
    assert all(job.start.weights for job in floats)


README = (JOBS.parent / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


QUOTED = [block for block in BLOCKS if block.startswith("# jobs/")]
PARTS = [block for block in BLOCKS if block not in QUOTED]


@pytest.mark.parametrize("block", QUOTED)
def test_the_readme_quotes_a_job_as_it_is(block: str) -> None:
    title, *rest = block.splitlines()
    file = JOBS.parent / title.removeprefix("# ").split(":")[0]
    assert file.read_text().splitlines()[1:] == rest


def test_the_readme_quotes_the_search_around_the_papers_values() -> None:
    [quoted] = [yaml.safe_load(block) for block in BLOCKS if block.startswith("search:")]
    assert quoted == yaml.safe_load((JOBS / "base" / "search_lambda_p1_alpha.yaml").read_text())


@pytest.mark.parametrize("block", PARTS, ids=lambda block: block.split(":")[0])
def test_the_readmes_examples_are_parts_of_a_job(block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    job = "cifar10_r18" if block.startswith("search:") else "cifar10_r18_joint"
    file.write_text(f"extends: {JOBS / job}.yaml\n{block}")
    assert load_job(file).job.name == job


def test_the_progressive_job_trains_one_bit_width_after_another_and_compares_all_of_them() -> None:
    job = load_job(JOBS / "cifar10_r18_progressive.yaml").job
    assert [[p.name for p in phase.points] for phase in job.phase_jobs()] == [
        ["8bit"],
        ["6bit"],
        ["4bit"],
        ["2bit"],
    ]
    assert {phase.training.epochs for phase in job.phase_jobs()} == {350}
    assert [point.name for point in job.compared] == ["2bit", "8bit", "6bit", "4bit"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_any_of_the_papers_jobs_is_searched_around_its_own_values(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    search = JOBS / "base" / "search_lambda_p1_alpha.yaml"
    file.write_text(f"name: mine\nextends: [{JOBS / name}.yaml, {search}]\n")
    loaded = load_job(file)
    assert loaded.warnings == []
    found = axes(loaded.job.search, loaded.job.as_dict())
    p1, distance_weight, clip_init, clip_lr = PUBLISHED[name][:4]
    assert {key: axis.prior.value for key, axis in found.items()} == {
        "method.lambda": distance_weight,
        "method.p1": p1,
        "quantizer.activations.clip_init": clip_init,
        "optimizer.clip.lr": clip_lr,
    }


def test_a_searchs_header_makes_it_a_small_one_with_the_quickstarts_videos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(JOBS.parent)
    file = JOBS / "search_lambda_p1_alpha.yaml"
    words = shlex.split(file.read_text().partition("  orch")[2].partition("\nname")[0])
    overrides = [after for word, after in pairwise(words) if word == "--set"]
    job = load_job(file, [" ".join(text.split("#")) for text in overrides]).job
    quickstart = load_job(JOBS / "quickstart.yaml").job
    assert len(overrides) == 6
    assert job.search.trials == 8
    assert job.search.metric == "mean"
    assert job.start.source == quickstart.start.source == "scratch"
    for section in ("model", "data", "quantizer"):
        assert getattr(job, section) == getattr(quickstart, section), section


def test_the_papers_lambdas_are_searched_with_two_seeds() -> None:
    search = load_job(JOBS / "search_lambda_cifar10_r18.yaml").job.search
    assert search.space["method.lambda"].grid == (0, 1e-4, 1e-3, 1e-2, 1e-1, 1)
    assert (search.seeds, search.metric, search.searcher.name) == (2, "delta_b", "grid")
