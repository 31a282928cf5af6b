"""A list of samples that a job leaves out."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from video.exclude import listed_name, without_excluded


def test_samples_are_left_out_by_their_path_below_the_root_or_whole(tmp_path: Path) -> None:
    files = [str(tmp_path / "train" / name) for name in ("a.mp4", "b c.mp4", "#d.mp4", "e.mp4")]
    files.append("cifar image 3")
    named = f"﻿train/b c.mp4\r\n\n{files[2]}\ncifar image 3\ntrain/absent.mp4\n"
    (tmp_path / "list.txt").write_text(named)
    settings = SimpleNamespace(root=tmp_path, exclude="list.txt")
    kept, exclusion = without_excluded(files, str, settings)
    assert [listed_name(file, str(tmp_path)) for file in kept] == ["train/a.mp4", "train/e.mp4"]
    assert exclusion.names - exclusion.found == {"train/absent.mp4"}
    [remark] = exclusion.remarks
    assert remark == f"{tmp_path / 'list.txt'} leaves out 3 of 5 samples."


def test_without_a_list_all_samples_remain(tmp_path: Path) -> None:
    kept, exclusion = without_excluded(["a", "b"], str, SimpleNamespace(root=tmp_path))
    assert kept == ["a", "b"]
    assert not exclusion.names
    assert not exclusion.remarks


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = SimpleNamespace(root=tmp_path, exclude="absent.txt")
    with pytest.raises(ValueError, match=r"absent\.txt cannot be read \(No such file"):
        without_excluded(["a"], str, settings)


def test_videos_are_left_out_whatever_the_ending_of_their_files_is(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a/x.avi\na/y.*\na/v1.2\na/z.txt\na/nobody.mp4\n")
    files = ["a/x.pack", "a/x.1.mp4", "a/y.MP4", "a/v1.2.mp4", "a/v1.mp4", "a/z.mp4", "b/x.mp4"]
    settings = SimpleNamespace(root=tmp_path, exclude="list.txt")
    endings = {".avi", ".pack", ".mp4", ".*"}
    kept, exclusion = without_excluded(files, str, settings, endings)
    assert kept == ["a/x.1.mp4", "a/v1.mp4", "a/z.mp4", "b/x.mp4"]
    assert exclusion.names - exclusion.found == {"a/z.txt", "a/nobody.mp4"}
    assert without_excluded(files, str, settings)[0] == files
