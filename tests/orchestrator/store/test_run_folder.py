"""Checkpoints as the folder itself lists them, and files that are replaced whole."""

import os
from pathlib import Path

import pytest

from orchestrator.store.folder import Folder
from orchestrator.store.run_folder import Reached, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def commit(folder: RunFolder, *at: int, keep: int = 9) -> str:
    """Commit a checkpoint whose only file says where it was taken; return its name."""
    folder.commit(files(*at), Reached(*at))
    folder.drop_all_but(keep)
    return next(kept.name for kept in folder.checkpoints() if content(kept) == str(at))


def files(*at: int) -> dict[str, bytes]:
    return {"state.pt": str(at).encode()}


def content(checkpoint: Folder) -> str:
    return b"".join(checkpoint.chunks("state.pt")).decode()


def names(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in Path(folder.place).iterdir())


def test_the_newest_is_the_furthest_one_whatever_was_written_last(folder: RunFolder) -> None:
    assert folder.newest() is None
    furthest = [(1, 0, 2), (0, 10, 0), (0, 9, 1_000_000), (0, 9, 999_999), (0, 2, 7), (0, 2, 0)]
    for at in (furthest[2], furthest[0], furthest[5], furthest[1], furthest[3], furthest[4]):
        commit(folder, *at)
    found = [content(kept) for kept in folder.checkpoints()]
    assert found == [str(at) for at in reversed(furthest)]
    assert folder.newest() == furthest[0]


def test_a_name_counts_phases_from_one(folder: RunFolder) -> None:
    assert commit(folder, 0, 3, 120) == "checkpoint_p01_e0003_s000120"


def test_only_the_last_ones_stay_and_the_one_gone_on_from_is_not_replaced(
    folder: RunFolder,
) -> None:
    committed = [commit(folder, 0, 0, step, keep=2) for step in range(5)]
    assert names(folder) == committed[-2:]
    before = Path(folder.checkpoints()[-1]) / "state.pt"
    os.utime(before, (1, 1))
    commit(folder, 0, 0, 4, keep=2)
    assert before.stat().st_mtime == 1
    assert names(folder) == committed[-2:]


def test_only_the_best_epoch_is_kept(folder: RunFolder) -> None:
    commit(folder, 0, 1, 0)
    for epoch in (1, 5, 5):
        folder.keep_as_best(files(0, 1, 0), epoch)
    assert [kept.name for kept in folder.best()] == ["best-epoch-0001", "best-epoch-0005"]
    folder.drop_best_but(5)
    assert [kept.name for kept in folder.best()] == ["best-epoch-0005"]
    assert content(folder.best()[0]) == content(folder.checkpoints()[0])


def test_what_is_set_aside_is_no_checkpoint_any_more_and_replaces_nothing(
    folder: RunFolder,
) -> None:
    aside = []
    for _ in range(3):
        commit(folder, 0, 1, 0)
        aside.append(folder.set_aside(folder.checkpoints()[0]).name)
    assert len(set(aside)) == 3
    assert folder.checkpoints() == []
    assert folder.unusable() == sorted(aside)


def test_what_a_kill_left_behind_is_swept_away_and_nothing_else(folder: RunFolder) -> None:
    kept = commit(folder, 0, 1, 0)
    folder.keep_as_best(files(0, 1, 0), 1)
    for left in (f".{kept}.new", f".{kept}.old", ".best-epoch-0002.new"):
        (Path(folder.place) / left).mkdir()
    folder.sweep()
    assert names(folder) == ["best-epoch-0001", kept]


def test_a_stop_is_asked_for_until_whoever_asked_withdraws_it(folder: RunFolder) -> None:
    folder.withdraw_stop()
    folder.withdraw_stop_by_name()
    assert not folder.stop_is_asked()
    folder.ask_to_stop()
    assert folder.stop_is_asked()
    assert not folder.is_stopped_by_name()
    folder.ask_to_stop_by_name()
    folder.withdraw_stop()
    assert folder.stop_is_asked()
    assert folder.is_stopped_by_name()
    folder.withdraw_stop_by_name()
    assert not folder.stop_is_asked()


@pytest.mark.parametrize("content", [b"", b"{", bytes(range(256)), b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(folder: RunFolder, content: bytes) -> None:
    Path(str(folder.facts)).write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is what callers rely on
        folder.facts.read_json()


def test_the_last_sign_of_life_is_the_latest_of_what_a_run_writes(folder: RunFolder) -> None:
    for age, name in enumerate(("job.yaml", "metrics.jsonl", "progress.json"), start=100):
        file = Path(folder.place) / name
        file.write_text("{}")
        os.utime(file, (age, age))
        assert folder.last_sign_of_life() == age
