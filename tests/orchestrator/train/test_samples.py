"""A run goes on with the samples that it began with, or says what is different."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import CheckpointMismatch, UsageError
from orchestrator.job.schema import Job
from orchestrator.prepare import datasets
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.samples import Samples
from tests.orchestrator.train.thread_ranks import Meeting


@dataclass
class Listed:
    """A data set of which only names and labels are looked at."""

    samples: list[tuple[str, int]]
    class_names: tuple[str, ...] = ("cat", "dog")

    def __len__(self) -> int:
        return len(self.samples)

    def label(self, index: int) -> int:
        return self.samples[index][1]

    def source(self, index: int) -> str:
        return self.samples[index][0]


def of(*names: str, classes: tuple[str, ...] = ("cat", "dog")) -> Samples:
    """The facts of files in folders named after their classes."""
    labels = [("cat", "dog").index(name.split("/")[-2]) for name in names]
    return Samples.of(Listed(list(zip(names, labels, strict=True)), classes))


FIRST = of("/data/cat/1.mp4", "/data/cat/2.v.mp4", "/data/dog/1.mp4")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            of("a/cat/1.mp4", "a/dog/1.mp4"),
            "2 samples, 3 before; for instance 1 of the class 'cat'",
        ),
        (of("a/cat/2.v.mp4", "a/cat/1.mp4", "a/dog/1.mp4"), "3 samples as before, but of other"),
        (of("a/cat/1.mp4", "a/cat/3.mp4", "a/dog/1.mp4"), "3 samples as before, but of other"),
        (replace(FIRST, classes=["bird", "dog"]), "class 0 is 'bird', 'cat' before"),
        (replace(FIRST, classes=["cat"]), "1 classes, 2 before"),
        (replace(FIRST, classes=["a", "cat", "dog"]), "'cat' before; 3 classes, 2 before"),
    ],
)
def test_what_has_changed_is_named_with_what_to_do(now: Samples, said: str) -> None:
    with pytest.raises(CheckpointMismatch) as caught:
        now.check_unchanged(FIRST, "run/checkpoint-3", "s3://b/data")
    assert said in str(caught.value)
    assert "than s3://b/data has now" in str(caught.value)
    assert "start.weights=run/checkpoint-3" in str(caught.value)


@pytest.mark.parametrize(
    "copies",
    [
        ("s3://b/cat/1.mkv", "s3://b/cat/2.v.orchpack", "s3://b/dog/1.*"),
        ("t.tar/cat/000_1.jpg", "t.tar/cat/001_2_v.jpg", "u.tar/dog/000_1.jpg"),
    ],
)
def test_copies_elsewhere_are_the_same_samples(copies: tuple[str, ...]) -> None:
    of(*copies).check_unchanged(FIRST, "", "")
    FIRST.check_unchanged(None, "", "")  # a checkpoint of an older version


def test_a_rank_that_finds_other_samples_is_named_on_all_of_them() -> None:
    meeting = Meeting(2)
    other = of("/data/cat/1.mp4", "/data/dog/1.mp4")
    for found in ((FIRST, FIRST), (FIRST, other)):
        said = meeting.run(
            [
                lambda one=one, rank=rank: refusal(lambda: one.check_ranks(rank, "/data"))  # type: ignore[misc]
                for one, rank in zip(found, meeting.ranks(), strict=True)
            ]
        )
        expected = "Rank 1 finds other training samples in /data than rank 0: 2 samples, 3 on"
        assert [text[: len(expected)] for text in said] == [expected * (found[1] is other)] * 2


def refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except UsageError as error:
        return str(error)
    return ""


def test_a_run_goes_on_with_moved_data_and_not_with_other_data(
    tiny_job: Callable[..., Job], run: Callable[..., Any], pictures: Path, tmp_path: Path
) -> None:
    here, moved = tmp_path / "here", tmp_path / "moved"
    shutil.copytree(pictures, here)
    job = tiny_job(f"data.root={here}", "quantizer.bit_widths=[8, 2]")
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").ask_to_stop()
    run(job)
    RunFolder(tmp_path / "run").withdraw_stop()
    shutil.move(here / "train" / "red", here / "train" / "scarlet")
    datasets._opened.cache_clear()
    with pytest.raises(CheckpointMismatch, match="class 2 is 'scarlet', 'red' before"):
        run(job)
    shutil.move(here / "train" / "scarlet", here / "train" / "red")
    (here / "train" / "blue" / "1.jpg").rename(here / "train" / "green" / "11.jpg")
    datasets._opened.cache_clear()
    with pytest.raises(CheckpointMismatch, match=f"other samples than {here} has now: 24 samples"):
        run(job)
    shutil.copytree(pictures, moved)
    found = run(tiny_job(f"data.root={moved}", "quantizer.bit_widths=[8, 2]"))
    assert (found.context.folder / "result.json").exists()
