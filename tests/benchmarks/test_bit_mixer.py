"""What is said about Bit-Mixer's batch norm and its sub-nets."""

from pathlib import Path

from benchmarks.bit_mixer import JOB, NORMS, Measured, collected, judged
from orchestrator.job.load import load_job
from orchestrator.subnet.search import Subnet


def test_figures_are_collected_seed_by_seed() -> None:
    def run(top1: float, best: float) -> Measured:
        return {"top1": {"4bit": top1, "random": top1 - 1}, "subnets": {"best": best}}

    transitional = {("transitional", 0): run(40.0, 38.0), ("transitional", 1): run(42.0, 39.00004)}
    own = {("own_bit_width", 0): run(30.0, 0.0), ("own_bit_width", 1): run(31.0, 0.0)}
    assert collected(transitional | own, 2) == {
        "top1": {
            "transitional": {"4bit": [40.0, 42.0], "random": [39.0, 41.0]},
            "own_bit_width": {"4bit": [30.0, 31.0], "random": [29.0, 30.0]},
        },
        "subnets": {"best": [38.0, 39.0]},
    }


def test_the_best_sub_nets_are_judged_beside_random_ones() -> None:
    def subnets(*reached: tuple[float, float]) -> list[Subnet]:
        return [Subnet("", "best", ("4bit",), 0.0, metric, loss) for metric, loss in reached]

    assert judged(subnets((40.0, 1.0), (42.0, 2.0)), subnets((30.0, 3.0), (36.0, 4.0))) == {
        "best": 41.0,
        "best_loss": 1.5,
        "winner": 42.0,
        "drawn": 33.0,
        "drawn_loss": 3.5,
        "lucky": 36.0,
    }


def test_the_job_is_right_and_its_variants_differ_in_batch_norm_alone(tmp_path: Path) -> None:
    place = f"data.root={tmp_path}"
    jobs = [load_job(JOB, [place, *own]) for own in NORMS.values()]
    first, second = ([phase.method for phase in one.job.phase_jobs()] for one in jobs)
    assert [method.transitional for method in first] == [True] * 3
    assert second == [method.model_copy(update={"transitional": False}) for method in first]
