"""What travels with a job, unpacked again with the standard library."""

import hashlib
import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cluster import runtime
from orchestrator.errors import UsageError
from orchestrator.shipment import Shipment

RUN = Shipment("a-1", "/runs/a-1", 1, {"optimizer": {"lr": 0.1}})


def test_the_same_run_gives_the_same_bytes_and_another_run_another_name() -> None:
    first, second = runtime.pack(RUN), runtime.pack(replace(RUN))
    assert first == second
    assert hashlib.sha256(first.data).hexdigest().startswith(first.name[9:-4])
    assert runtime.pack(replace(RUN, run="a-2")).name != first.name


def test_the_package_has_no_top_folder_and_no_compiled_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(runtime.pack(RUN).data)) as archive:
        names = archive.namelist()
        archive.extract("run.json", tmp_path)
    assert Shipment.read(tmp_path / "run.json") == RUN
    assert {name.partition("/")[0] for name in names} == {*runtime.SHIPPED, "run.json"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_shipped_code_runs_without_the_installed_one(tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(runtime.pack(RUN).data)).extractall(tmp_path)
    asked = "import orchestrator, models, video; print(orchestrator.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "orchestrator" / "__init__.py")


def test_a_package_beyond_the_clusters_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LIMIT_BYTES", 1000)
    with pytest.raises(UsageError, match="a cluster accepts 100 MiB"):
        runtime.pack(RUN)


def test_here_the_driver_runs_with_this_python_elsewhere_with_the_clusters(tmp_path: Path) -> None:
    here = runtime.entrypoint(runtime.TRAIN, on_this_machine=True)
    warm = "-IS orchestrator/warm/python.py"
    entry = "-m orchestrator.train.supervise run.json"
    python = sys.executable
    assert here == f"exec {python} {entry} {python} {warm} -m orchestrator.train.launch"
    there = runtime.entrypoint(runtime.SEARCH, on_this_machine=False)
    assert there == f"exec python {entry} python {warm} -m orchestrator.trials.launch"
    zipfile.ZipFile(io.BytesIO(runtime.pack(RUN).data)).extractall(tmp_path)
    assert (tmp_path / runtime.WARM).is_file()
