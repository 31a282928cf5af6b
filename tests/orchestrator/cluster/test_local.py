"""The local head: one real head, started as `orch submit` does, shared by the tests of this file.

The jobs are a tiny package of the test's own, shipped as orch ships itself.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cluster import head_process, local, runtime, tail
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.local import Head
from orchestrator.errors import Unreachable
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator.conftest import PretendedHead

Pretended = Callable[..., PretendedHead]

DRIVER = """
import os, signal, sys, time
print("shipped code in", os.getcwd(), flush=True)
print("dedup", os.environ["RAY_DEDUP_LOGS"], flush=True)
def end(*_):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
for i in range(int(sys.argv[1])):
    print("line", i, flush=True)
    time.sleep(0.1)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def head(head_home: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    """The shared local head, started when it does not run."""
    monkeypatch.setenv("ORCH_HOME", str(head_home))
    with local.locked():
        return local.ensure(lambda _: None)


@pytest.fixture
def client(head: Head) -> ClusterClient:
    return head.client()


def submit(client: ClusterClient, submission_id: str, lines: int, code: int = 0) -> None:
    """Ship the driver above and start it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("driver.py", DRIVER)
    uri = client.upload("_ray_pkg_test.zip", buffer.getvalue())
    command = f"exec {sys.executable} driver.py {lines} {code}"
    environment = {"working_dir": uri, "env_vars": runtime.SETTINGS}
    client.submit(submission_id, command, environment, {"orch": "test"})


def target_of(link: Path) -> str:
    """Return what a link points at, nothing of one that was closed meanwhile."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def listening(pids: list[int]) -> Iterator[str]:
    """Yield the addresses on which processes listen, from /proc."""
    links = (link for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*"))
    inodes = {target[8:-1] for target in map(target_of, links) if target.startswith("socket:[")}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                yield fields[1].rpartition(":")[0]


@pytest.mark.ray
def test_a_shipped_job_runs_and_its_log_is_followed_to_the_end(client: ClusterClient) -> None:
    submit(client, "follow.1", lines=5)
    looks = list(tail.follow(tail.LogLines(client, "follow.1"), interval=0.3))
    lines = [line for look in looks for line in look.new]
    assert [line for line in lines if line.startswith("line")] == [f"line {i}" for i in range(5)]
    assert "dedup 0" in lines
    assert looks[-1].info is not None
    assert (looks[-1].info.state, looks[-1].info.exit_code) == (State.SUCCEEDED, 0)


@pytest.mark.ray
def test_the_drivers_exit_code_is_returned(client: ClusterClient) -> None:
    submit(client, "code.1", lines=0, code=3)
    last = list(tail.follow(tail.LogLines(client, "code.1"), interval=0.3))[-1].info
    assert last is not None
    assert (last.state, last.exit_code) == (State.FAILED, 3)


@pytest.mark.ray
def test_a_stopped_job_has_time_to_save(client: ClusterClient, head: Head) -> None:
    submit(client, "stop.1", lines=600)
    lines: list[str] = []
    for look in tail.follow(tail.LogLines(client, "stop.1"), interval=0.3):
        lines += look.new
        if "line 0" in look.new:
            assert [job.submission_id for job in local.active_jobs(head)] == ["stop.1"]
            assert not local.release()
            client.stop("stop.1")
    assert lines[-1] == "saved"
    ended = client.job("stop.1")
    assert ended is not None
    assert ended.state is State.STOPPED


@pytest.mark.ray
def test_a_head_is_found_again_and_started_once_by_two_at_a_time(head: Head) -> None:
    found: list[Head] = []

    def ask() -> None:
        with local.locked():
            found.append(local.ensure(lambda _: None))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [head, head]
    assert local.running() == head


@pytest.mark.ray
def test_a_head_offers_at_least_two_cpus(client: ClusterClient) -> None:
    assert sum(node.cpus for node in client.capacity().nodes) >= 2


@pytest.mark.ray
def test_no_port_of_a_head_is_open_to_the_network(head: Head) -> None:
    pids = head_process.processes(Path(head.folder))
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert set(listening(pids)) <= loopback


@pytest.mark.ray
@pytest.mark.parametrize(("token", "answer"), [(None, 401), ("0" * 64, 403)])
def test_whoever_has_not_the_token_runs_nothing_and_reads_nothing(
    head: Head, client: ClusterClient, tmp_path: Path, token: str | None, answer: int
) -> None:
    proof = tmp_path / "proof"
    before = client.jobs()
    job = json.dumps({"entrypoint": f"touch {proof}"}).encode()
    for path, body in (("/api/jobs/", job), ("/api/jobs/", None), ("/api/version", None)):
        request = urllib.request.Request(head.url + path, body)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == answer
    assert client.jobs() == before
    assert not proof.exists()


@pytest.mark.ray
def test_the_token_is_in_its_file_and_nowhere_else(head: Head) -> None:
    token = head.token_file.read_bytes()
    kept = [path for path in Path(head.folder).rglob("*") if path.is_file()]
    shown = [Path(f"/proc/{pid}/cmdline") for pid in head_process.processes(Path(head.folder))]
    assert len(shown) > 5
    assert [p for p in kept + shown if token in p.read_bytes()] == [head.token_file]


@pytest.mark.ray
def test_a_head_whose_dashboard_hangs_is_still_there_and_is_not_replaced(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.5)
    commands = {
        pid: Path(f"/proc/{pid}/cmdline").read_text()
        for pid in head_process.processes(Path(head.folder))
    }
    (dashboard,) = [pid for pid, text in commands.items() if "dashboard/dashboard.py" in text]
    os.kill(dashboard, signal.SIGSTOP)
    try:
        with local.locked(), pytest.raises(Unreachable, match="`orch down` ends it"):
            local.ensure(lambda _: None)
        assert local.running() == head
    finally:
        os.kill(dashboard, signal.SIGCONT)
        local._silent.clear()
    monkeypatch.setattr(local, "ANSWER_SECONDS", 15)
    with local.locked():
        assert local.ensure(lambda _: None) == head


@pytest.mark.ray
def test_a_new_environment_does_not_find_the_old_head(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_inode", lambda _: head.inode + 1)
    assert local.running() is None


@pytest.mark.ray
def test_the_end_of_a_head_leaves_no_process_no_folder_and_the_logs(
    head: Head, client: ClusterClient
) -> None:
    submit(client, "last.1", lines=1)
    list(tail.follow(tail.LogLines(client, "last.1"), interval=0.3))
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert local.release()
        assert head_process.processes(Path(head.folder)) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert not Path(head.folder).exists()
    assert local.running() is None
    assert "line 0" in local.kept_log("last.1").read_text()


def test_a_head_that_dies_in_its_start_shows_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with local.locked(), pytest.raises(Unreachable, match="ended while starting"):
        local.ensure(lambda _: None)
    assert local.running() is None
    assert list((local.orch_home() / "local").glob("*.json")) == []


def ports_tried(monkeypatch: pytest.MonkeyPatch, port: int) -> list[int]:
    """Start a head that ends at once, on a port that was free when looked at; return its ports."""
    ports: list[int] = []
    real = head_process.start

    def start(folder: Path, port: int, num_cpus: int) -> None:
        ports.append(port)
        real(folder, port, num_cpus)

    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(head_process, "dashboard_port", lambda: port)
    monkeypatch.setattr(head_process, "start", start)
    with local.locked(), pytest.raises(Unreachable, match="ended while starting"):
        local.ensure(lambda _: None)
    return ports


def test_a_head_whose_port_another_took_meanwhile_is_started_on_another_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        first, second = ports_tried(monkeypatch, taken)
    assert (first, second != taken) == (taken, True)


def test_a_head_that_dies_for_another_reason_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = head_process.free_port()
    assert ports_tried(monkeypatch, free) == [free]


@pytest.mark.parametrize(
    ("started_with", "here", "warned"),
    [
        (None, None, None),
        ("0,1", "0,1", None),
        ("0,1", "2", "CUDA_VISIBLE_DEVICES was '0,1' when the local cluster was started"),
        (None, "", "CUDA_VISIBLE_DEVICES was not set when the local cluster was started"),
    ],
)
def test_a_running_head_with_other_gpus_than_this_shell_names_causes_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    cluster: FakeCluster,
    pretended_head: Pretended,
    started_with: str | None,
    here: str | None,
    warned: str | None,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if here is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", here)
    head = pretended_head(cluster.url, visible_gpus=started_with).head
    said: list[str] = []
    assert local.ensure(said.append) == head
    assert [line[9 : 9 + len(warned or "")] for line in said] == ([warned] if warned else [])


def test_two_processes_do_not_hold_the_lock_together() -> None:
    order: list[str] = []

    def second() -> None:
        with local.locked():
            order.append("second")

    with local.locked():
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_without_a_head_there_is_nothing_to_release() -> None:
    assert local.running() is None
    assert not local.release()
    assert local.stop_all() == 0
