"""A program that runs in a fork of a warm process is to the outside as if Python had run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.warm import python

START = f"""
import os, pathlib, runpy, sys
warm = runpy.run_path({python.__file__!r})
main = warm["main"]
main.__globals__.update(LIBRARIES=("colorsys",), RAY=("nturl2path",))
if other := os.environ.get("OTHER_SERVER"):
    main.__globals__["SERVER"] = pathlib.Path(other)
sys.exit(main(sys.argv[1:]))
"""
"""The program with libraries that load at once."""
SAY = """
import json, os, sys
print(json.dumps({
    "arguments": sys.argv, "pid": os.getpid(), "folder": os.getcwd(), "input": sys.stdin.read(),
    "threads": os.environ.get("OMP_NUM_THREADS"), "first": sys.path[0], "name": __name__,
    "warm": [name for name in ("colorsys", "nturl2path") if name in sys.modules],
}))
sys.exit(int(os.environ.get("CODE", 0)))
"""
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(21))
print(os.getpid(), flush=True)
time.sleep(100)
"""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment of this test alone, whose servers end with it."""
    with subprocess.Popen(["sleep", "1000"]) as raylet:
        yield os.environ | {"TEST_OF_WARM": str(tmp_path), "RAY_RAYLET_PID": str(raylet.pid)}
        raylet.kill()


def start(
    program: Path | str, *arguments: str, env: dict[str, str], script: str = START
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-IS", "-c", script, str(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=env["TEST_OF_WARM"],
        env=env,
    )


def said(program: Path, *arguments: str, **env: str) -> Any:
    done = start(program, *arguments, env=env)
    printed, errors = done.communicate("to read", timeout=60)
    assert done.returncode == int(env.get("CODE", 0)), errors
    return json.loads(printed)


@pytest.fixture
def say(tmp_path: Path) -> Path:
    file = tmp_path / "say.py"
    file.write_text(SAY)
    return file


@pytest.mark.parametrize("job", [{}, {"RAY_JOB_ID": "07"}], ids=["driver", "worker"])
def test_a_program_sees_what_it_would_see_under_plain_python(
    say: Path, env: dict[str, str], job: dict[str, str]
) -> None:
    env |= job | {"CODE": "3"}
    plain = said(say, "a b", "", **env | {"OMP_NUM_THREADS": "5"})
    warm = said(say, "a b", "", **env | {"OMP_NUM_THREADS": "7"})
    assert warm["warm"] == ["colorsys", "nturl2path"][: 1 + len(job)]
    assert plain["warm"] == []
    assert warm | {"warm": [], "threads": "5", "pid": plain["pid"]} == plain
    assert warm["threads"] == "7"
    assert warm["input"] == "to read"


def test_a_module_finds_itself_in_the_folder_it_is_run_in(say: Path, env: dict[str, str]) -> None:
    said(say, **env)
    warm = start("-m", "say", "one", env=env)
    printed, _ = warm.communicate("", timeout=60)
    found = json.loads(printed)
    assert found["warm"] == ["colorsys"]
    assert found["arguments"] == [str(say), "one"]
    assert found["first"] == str(say.parent)


def test_what_python_path_names_comes_before_what_is_installed(
    tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "click.py").write_text("WHOSE = 'shipped'")
    program = tmp_path / "program.py"
    program.write_text(
        "import click, json, sys; print(json.dumps([click.WHOSE, 'colorsys' in sys.modules]))"
    )
    env |= {"PYTHONPATH": str(tmp_path / "shipped")}
    assert said(program, **env) == ["shipped", False]
    assert said(program, **env) == ["shipped", True]


def test_a_program_that_ends_at_once_runs_once(tmp_path: Path, env: dict[str, str]) -> None:
    program, ran = tmp_path / "program.py", tmp_path / "ran"
    program.write_text(f"import os\nopen({str(ran)!r}, 'a').write('x')\nos._exit(9)")
    for _ in range(10):
        done = start(program, env=env)
        done.communicate("", timeout=60)
        assert done.returncode == 9
    assert ran.read_text() == "x" * 10


@pytest.mark.parametrize("other", [{"MALLOC_ARENA_MAX": "2"}, {"LD_PRELOAD": "libm.so.6"}])
def test_processes_of_other_settings_have_another_server(
    say: Path, env: dict[str, str], other: dict[str, str]
) -> None:
    said(say, **env)
    assert said(say, **env)["warm"]
    assert not said(say, **env | other)["warm"]


@pytest.mark.parametrize(
    "change",
    [
        "os.umask(0o027)",
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
    ],
)
def test_what_a_process_inherits_reaches_its_program(
    tmp_path: Path, env: dict[str, str], change: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, resource, signal, sys\n"
        "print(json.dumps([os.umask(0), resource.getrlimit(resource.RLIMIT_CORE),\n"
        "    len(signal.pthread_sigmask(0, [])), 'colorsys' in sys.modules]))"
    )
    said(program, **env)
    *_, warm = before = said(program, **env)
    assert warm
    changed = f"import os, resource, signal\n{change}\n{START}"
    process = start(program, env=env, script=changed)
    assert json.loads(process.communicate("", timeout=60)[0])[:-1] != before[:-1]


def test_packages_that_were_installed_are_found_by_a_new_server(
    tmp_path: Path, env: dict[str, str], say: Path
) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    env |= {"OTHER_SERVER": str(other_server(tmp_path, f"sys.path.append({str(packages)!r})"))}
    said(say, **env)
    assert said(say, **env)["warm"]
    (packages / "new.dist-info").mkdir()
    assert not said(say, **env)["warm"]
    said(say, **env)
    assert said(say, **env)["warm"]


def test_each_process_draws_its_own_random_numbers(
    tmp_path: Path, say: Path, env: dict[str, str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, random, sys, numpy, torch\n"
        "print(json.dumps([random.random(), numpy.random.rand(), torch.rand(1).item(),\n"
        "    'colorsys' in sys.modules]))"
    )
    env |= {"OTHER_SERVER": str(other_server(tmp_path, "import numpy, torch"))}
    said(say, **env)
    *one, warm = said(program, **env)
    assert warm
    assert all(a != b for a, b in zip(one, said(program, **env), strict=False))


def other_server(folder: Path, begin: str) -> Path:
    """Return the server with something done before it begins."""
    file = folder / "other_server.py"
    file.write_text(
        "import os, resource, runpy, signal, subprocess, sys\n"
        f"{begin}\nrunpy.run_path({str(python.SERVER)!r}, run_name='__main__')"
    )
    return file


FORK_FAILS = """
fork = os.fork
def once():
    os.fork = fail
    return fork()
def fail(): raise BlockingIOError
os.fork = once
"""
KILLED_AT_FORK = """
fork = os.fork
def killed():
    if bool(child := fork()) is SERVER:
        os.kill(os.getpid(), signal.SIGKILL)
    return child
os.fork = killed
"""


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("os.getuid = lambda: 12345", {9}),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))", {9}),
        ("def missing(pid): raise OSError\nos.pidfd_open = missing", {9}),
        (FORK_FAILS, {9}),
        (KILLED_AT_FORK.replace("SERVER", "True"), {75, 9}),
        (KILLED_AT_FORK.replace("SERVER", "False"), {9}),
    ],
    ids=["other user", "open files", "old kernel", "no fork", "killed", "program killed"],
)
def test_whatever_fails_in_a_server_a_program_runs_once(
    tmp_path: Path, env: dict[str, str], fault: str, codes: set[int]
) -> None:
    program, ran = tmp_path / "program.py", tmp_path / "ran"
    program.write_text(
        "import os, sys\nprint('out', flush=True)\n"
        f"open({str(ran)!r}, 'a').write('x' if 'colorsys' in sys.modules else '-')\nos._exit(9)"
    )
    env |= {"OTHER_SERVER": str(other_server(tmp_path, fault))}
    for _ in range(3):
        done = start(program, env=env)
        assert done.communicate("", timeout=60)[0] == "out\n"
        assert done.returncode in codes
    assert len(ran.read_text()) == 3
    if fault.startswith("os.getuid"):
        assert ran.read_text() == "---", "a server forks for its own user only"


def test_a_fork_that_fails_takes_no_other_program_along(
    tmp_path: Path, say: Path, env: dict[str, str]
) -> None:
    program = tmp_path / "wait.py"
    program.write_text(WAIT)
    env |= {"OTHER_SERVER": str(other_server(tmp_path, FORK_FAILS))}
    start(say, env=env).communicate("", timeout=60)
    process = start(program, env=env)
    assert process.stdout
    assert int(process.stdout.readline()) != process.pid
    assert not said(say, **env)["warm"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 21


def test_a_server_that_cannot_be_started_leaves_one_program(
    tmp_path: Path, env: dict[str, str]
) -> None:
    program, ran = tmp_path / "program.py", tmp_path / "ran"
    program.write_text(f"open({str(ran)!r}, 'a').write('x')")
    script = "import subprocess\ndef Popen(*_, **__): raise OSError\nsubprocess.Popen = Popen\n"
    start(program, env=env, script=script + START).communicate("", timeout=60)
    assert ran.read_text() == "x"


@pytest.fixture
def waiting(
    tmp_path: Path, say: Path, env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program in a warm process that waits for a signal, and its process id."""
    program = tmp_path / "wait.py"
    program.write_text(WAIT)
    said(say, **env)
    process = start(program, env=env)
    assert process.stdout
    pid = int(process.stdout.readline())
    assert pid != process.pid
    yield process, pid
    process.kill()
    process.communicate()


def gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


def test_a_signal_reaches_the_program(waiting: tuple[subprocess.Popen[str], int]) -> None:
    process, pid = waiting
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 21
    assert gone(pid)


def test_a_program_ends_with_the_process_that_stands_in_for_it(
    waiting: tuple[subprocess.Popen[str], int],
) -> None:
    process, pid = waiting
    process.kill()
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_program_that_a_signal_ends_is_seen_to_end_so(
    waiting: tuple[subprocess.Popen[str], int], number: int
) -> None:
    process, pid = waiting
    os.kill(pid, number)
    assert process.wait(20) == -number


def test_a_program_outlives_its_server(waiting: tuple[subprocess.Popen[str], int]) -> None:
    process, pid = waiting
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    assert gone(server)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 75, "the exit code went with the server"


def test_a_server_ends_with_its_node(
    waiting: tuple[subprocess.Popen[str], int], env: dict[str, str]
) -> None:
    process, pid = waiting
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(raylet := int(env["RAY_RAYLET_PID"]), signal.SIGKILL)
    os.waitpid(raylet, 0)
    process.kill()
    assert gone(server)


def test_a_server_that_cannot_start_leaves_plain_python(
    tmp_path: Path, say: Path, env: dict[str, str]
) -> None:
    env |= {"OTHER_SERVER": str(other_server(tmp_path, "raise SystemExit(1)"))}
    for _ in range(2):
        assert said(say, "x", **env)["arguments"] == [str(say), "x"]
