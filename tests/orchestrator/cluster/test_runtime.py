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


@pytest.fixture
def with_own_code(tmp_path: Path) -> Shipment:
    """A run whose job has a folder of code."""
    folder = tmp_path / "parts"
    (folder / "own_parts" / "__pycache__").mkdir(parents=True)
    for name in ("own_parts/slow.py", "own_parts/__pycache__/slow.pyc", ".git", "own.txt"):
        (folder / name).write_text("VALUE = 7")
    return replace(RUN, job={"code": str(folder)})


def test_a_jobs_own_code_lies_beside_ours_where_its_processes_import_it(
    with_own_code: Shipment, tmp_path: Path
) -> None:
    unpacked = tmp_path / "unpacked"
    archive = zipfile.ZipFile(io.BytesIO(runtime.pack(with_own_code).data))
    archive.extractall(unpacked)
    own = {name for name in archive.namelist() if name.startswith(("own", "."))}
    assert own == {"own_parts/slow.py", "own.txt"}
    asked = "import models, own_parts.slow; print(own_parts.slow.VALUE)"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=unpacked, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "7"


def test_own_code_that_is_missing_or_has_our_names_is_refused(
    with_own_code: Shipment, tmp_path: Path
) -> None:
    (tmp_path / "parts" / "models").mkdir()
    with pytest.raises(UsageError, match=r"parts holds models, which orch itself brings"):
        runtime.pack(with_own_code)
    with pytest.raises(UsageError, match="there is no folder /nowhere"):
        runtime.check_own_code(Path("/nowhere"))
