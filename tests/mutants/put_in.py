"""Put one bug at a time into a copy of the code and see which test catches it.

    python tests/mutants/put_in.py [--from FILE] [NAME ...]     only bugs of these names or parts

Each bug of FILE (bugs.toml) is a place in a file (`old`, found there exactly once), what stands
there instead (`new`), and the tests that are to notice. The result is written to TABLE.md beside
FILE when all of its bugs were tried. Ends with 1 when a bug survives, or no longer fits the code.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

BUGS = Path(__file__).with_name("bugs.toml")
ROOT = Path(__file__).parents[2]
COPIED = (
    *("orchestrator", "models", "video", "infra", "tests", "jobs", "docs"),
    *("pyproject.toml", "README.md"),
)
SECONDS = 300
"""For the tests of a bug; those of all bugs together have six times as long."""
FAILED = re.compile(r"^FAILED (\S+?::.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Bug:
    """A mistake that somebody might make; `part` is the part of the code, or a trap's number."""

    part: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def put_into(self, tree: Path) -> str:
        """Return the text of the file without the bug. Raises ValueError when it does not fit."""
        path = tree / self.file
        text = path.read_text()
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"`old` stands {count} times in {self.file}, not once")
        path.write_text(text.replace(self.old, self.new))
        return text


@dataclass(frozen=True)
class Outcome:
    """The test that failed first; or why none did."""

    caught_by: str = ""
    trouble: str = ""


def read_bugs(file: Path, words: Sequence[str] = ()) -> list[Bug]:
    """Return the bugs of a file, or those whose name or part is one of the words.

    Ends the program for a word that is neither.
    """
    parts = tomllib.loads(file.read_text())
    bugs = [
        Bug(part, one["name"], one["file"], one["old"], one["new"], tuple(one["tests"]))
        for part, ones in parts.items()
        for one in ones
    ]
    names = [bug.name for bug in bugs]
    assert len(set(names)) == len(names), "two bugs have one name"
    if unknown := {*words} - {*names, *parts}:
        sys.exit(f"No bug and no part is called {', '.join(map(repr, sorted(unknown)))}.")
    return [bug for bug in bugs if not words or any(word in (bug.part, bug.name) for word in words)]


def copy_tree(place: Path) -> Path:
    """Return a copy of what the tests need, without compiled files."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place / name)
    return place


def run_tests(tree: Path, tests: tuple[str, ...], seconds: int = SECONDS) -> Outcome:
    """Run the tests in a tree, to the first failure."""
    command = ["-m", "pytest", "-x", "-q", "-rf", "-p", "no:cacheprovider", "-p", "no:randomly"]
    # Without compiled files: Python compares their size and second, and a bug may change neither.
    changed = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *command, "-m", "not ray and not real", *tests],
            cwd=tree,
            env=os.environ | changed,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(trouble=f"no end within {seconds} s")
    if done.returncode == 0:
        return Outcome(trouble="SURVIVED")
    if failed := FAILED.search(done.stdout):
        return Outcome(caught_by=failed[1])
    return Outcome(trouble="the tests do not run:\n" + (done.stdout + done.stderr)[-2000:])


def try_out(bug: Bug, trees: "SimpleQueue[Path]") -> Outcome:
    """Try one bug in a tree that is free."""
    tree = trees.get()
    try:
        whole = bug.put_into(tree)
        outcome = run_tests(tree, bug.tests)
        (tree / bug.file).write_text(whole)
    except ValueError as error:
        outcome = Outcome(trouble=str(error))
    trees.put(tree)
    shown = f"caught by {outcome.caught_by}" if outcome.caught_by else outcome.trouble
    print(f"{bug.name}\n    {shown}", flush=True)
    return outcome


def try_all(bugs: list[Bug], folder: Path) -> list[Outcome]:
    """Try the bugs, as many at once as there are processors. Without a bug all tests must pass."""
    cores = len(os.sched_getaffinity(0))
    trees: SimpleQueue[Path] = SimpleQueue()
    for number in range(cores):
        trees.put(copy_tree(folder / str(number)))
    files = tuple(dict.fromkeys(test for bug in bugs for test in bug.tests))
    untouched = run_tests(folder / "0", files, 6 * SECONDS)
    if untouched.trouble != "SURVIVED":
        sys.exit(f"Tests fail without any bug: {untouched.caught_by}{untouched.trouble}")
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(lambda bug: try_out(bug, trees), bugs))


def table(file: Path, bugs: list[Bug], outcomes: list[Outcome]) -> str:
    """Return the table of a file's bugs and the tests that caught them."""
    today, folder = datetime.datetime.now(datetime.UTC).date(), file.parent.name
    lines = [
        f"# {file.stem.capitalize()}, put in one at a time ({today}, `make {folder}`)",
        "",
        f"| {'trap' if folder == 'traps' else 'part'} | mistake | caught by |",
        "|---|---|---|",
    ]
    for bug, outcome in zip(bugs, outcomes, strict=True):
        test = outcome.caught_by.removeprefix("tests/")
        lines.append(f"| {bug.part} | {bug.name} | `{test}` |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try the bugs and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only bugs of these names or parts")
    parser.add_argument("--from", dest="file", type=Path, default=BUGS, help="where bugs stand")
    asked = parser.parse_args()
    bugs = read_bugs(asked.file, asked.words)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = try_all(bugs, Path(folder))
    missed = [bug.name for bug, out in zip(bugs, outcomes, strict=True) if not out.caught_by]
    print(f"\n{len(bugs) - len(missed)} of {len(bugs)} bugs caught.")
    if missed:
        sys.exit("Not caught:\n  " + "\n  ".join(missed))
    if not asked.words:
        whole = table(asked.file, bugs, outcomes)
        asked.file.with_name("TABLE.md").write_text(whole)
        print(f"\n{whole}")


if __name__ == "__main__":
    main()
