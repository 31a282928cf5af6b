"""Where orch keeps its records, after the XDG base directory specification."""

import pwd
import stat
from pathlib import Path

import pytest

from orchestrator import home as homes
from orchestrator.errors import UsageError


def test_without_any_setting_the_home_is_in_the_users_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCH_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert homes.orch_home() == tmp_path / ".local" / "state" / "orch"


def test_the_xdg_folder_is_used_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert homes.orch_home() == Path("/state/orch")


def test_folders_are_closed_to_others() -> None:
    assert stat.S_IMODE(homes.folder("runs").stat().st_mode) == 0o700


def test_a_home_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="Set ORCH_HOME"):
        homes.folder("runs")


@pytest.mark.parametrize("given", ["relative/state", "~/state", ""])
def test_a_state_folder_that_is_not_absolute_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.delenv("ORCH_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", given)
    assert homes.orch_home() == tmp_path / ".local" / "state" / "orch"


@pytest.mark.parametrize("given", [None, "~/orch"])
def test_a_user_without_home_and_account_learns_what_to_set(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_STATE_HOME", "ORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("ORCH_HOME", given)
    with pytest.raises(UsageError, match="Set ORCH_HOME"):
        homes.orch_home()


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"Is a directory.*Set ORCH_HOME"):
        homes.save(tmp_path / "folder", "{}")
