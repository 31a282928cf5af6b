"""The jobs in which OneWeight's bits and channels are compared."""

from pathlib import Path

import pytest

from benchmarks.one_weight import WEIGHTS, job_of, size_of, widths_of_one_size


def test_networks_of_few_bits_are_as_large_as_the_narrow_one(tmp_path: Path) -> None:
    widths = widths_of_one_size()
    assert tuple(widths) == WEIGHTS
    jobs = [job_of(bits, width, tmp_path, seed=1) for bits, width in widths.items()]
    (narrow, reference), *others = map(size_of, jobs)
    assert narrow == 0.5
    for width, size in others:
        assert width > narrow
        assert size == pytest.approx(reference, rel=0.03)
    assert [job.points[0].precision for job in jobs] == [(bits, 4) for bits in WEIGHTS]
    assert {(job.training.epochs, job.seed, job.optimizer.lr) for job in jobs} == {
        (jobs[0].training.epochs, 1, jobs[0].optimizer.lr)
    }
