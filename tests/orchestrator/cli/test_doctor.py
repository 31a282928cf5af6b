"""The doctor on a machine that is well, and on one that is not."""

import json
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models import kernels
from orchestrator.cli import doctor
from orchestrator.cluster import local
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.conftest import PretendedHead


def verdicts(orch: Orch) -> tuple[dict[str, str], int]:
    done = orch("doctor", "--json")
    checks = json.loads(done.stdout)["checks"]
    return {check["check"]: check["verdict"] for check in checks}, done.exit_code


def test_a_healthy_machine_has_nothing_to_fix(
    orch: Orch, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.url)
    found, code = verdicts(orch)
    assert (set(found.values()), code) == ({"ok"}, 0)
    assert {"python", "torch", "ray", "cluster", "tracking", "decord", "s3"} <= found.keys()
    assert "TF32 off" in orch("doctor").stdout


def test_what_is_wrong_is_named_with_what_to_do(
    orch: Orch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    done = orch("doctor")
    assert done.exit_code == 1
    for line in ("fail  cluster", "fail  orch home", "fail  no-such-package"):
        assert line in done.stdout
    assert "Set ORCH_HOME to a folder that you can write" in done.stdout


def test_a_living_local_head_that_does_not_answer_is_what_is_wrong(
    orch: Orch, pretended_head: Callable[[], PretendedHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(doctor, "CHECKS", (doctor._machine, doctor._cluster))
    pretended_head()
    found = {"machine": "ok", "cluster": "ok", "local head": "fail"}
    assert verdicts(orch) == (found, 1)


def test_a_sample_video_is_really_opened(orch: Orch, tmp_path: Path) -> None:
    folder = tmp_path / doctor.SAMPLE_VIDEOS
    folder.mkdir(parents=True)
    (folder / "broken.mp4").write_bytes(b"not a video")
    found, code = verdicts(orch)
    assert (found["decord"], code) == ("fail", 1)


def test_a_tracking_password_is_not_shown(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = orch("doctor")
    assert "fail  tracking" in done.stdout
    assert "secret" not in done.stdout


def test_a_check_that_cannot_look_says_why_and_the_others_go_on(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_STATE_HOME", "ORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    checks = (doctor._cluster, doctor._home, doctor._credentials)
    monkeypatch.setattr(doctor, "CHECKS", checks)
    done = orch("doctor")
    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.count("Set ORCH_HOME") >= 2
    assert "ok    s3" in done.stdout


def test_the_arithmetic_of_this_machine_is_named_and_its_lack_is_no_failure(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: torch.device) -> None:
        return None

    kernel = kernels.kernel_for(torch.device("cpu"))
    assert kernel is not None
    exact = f"arithmetic  cpu: integers ({kernel.name}) are exact for sums below 2^31; backward in"
    assert exact in orch("doctor").stdout
    monkeypatch.setattr(kernels, "kernel_for", none)
    monkeypatch.setattr(doctor, "CHECKS", (doctor._arithmetic,))
    done = orch("doctor")
    assert done.exit_code == 0
    assert "warn  arithmetic  cpu: no kernel adds up integers exactly" in done.stdout
    assert "Leave training.arithmetic at auto" in done.stdout
