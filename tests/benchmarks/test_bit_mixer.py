"""What is said about Bit-Mixer's batch norm and its sub-nets."""

from pathlib import Path

from benchmarks.bit_mixer import JOB, NORMS, Measured, collected
from orchestrator.job.load import load_job


def test_figures_are_collected_seed_by_seed() -> None:
    def run(top1: float, best: float) -> Measured:
        return {"top1": {"4bit": top1, "random": top1 - 1}, "subnets": {"best": best}}

    transitional = {("transitional", 0): run(40.0, 38.0), ("transitional", 1): run(42.0, 39.004)}
    own = {("own_bit_width", 0): run(30.0, 0.0), ("own_bit_width", 1): run(31.0, 0.0)}
    assert collected(transitional | own, 2) == {
        "top1": {
            "transitional": {"4bit": [40.0, 42.0], "random": [39.0, 41.0]},
            "own_bit_width": {"4bit": [30.0, 31.0], "random": [29.0, 30.0]},
        },
        "subnets": {"best": [38.0, 39.0]},
    }


def test_the_job_is_right_and_its_variants_differ_in_batch_norm_alone(tmp_path: Path) -> None:
    place = f"data.root={tmp_path}"
    jobs = [load_job(JOB, [place, *own]) for own in NORMS.values()]
    first, second = ([phase.method for phase in one.job.phase_jobs()] for one in jobs)
    assert [method.transitional for method in first] == [True] * 3
    assert second == [method.model_copy(update={"transitional": False}) for method in first]
