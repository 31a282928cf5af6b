"""A crash at every operation on the disk: what is read afterwards is the state before or after.

Each program is traced once (`tests/crashes`). Then, for each of its operations, what a killed
process or a lost power leaves is put into a folder, from which the product has to go on.
"""

import itertools
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.job.schema import Job
from orchestrator.run_facts import Events, facts_of, finished_in
from orchestrator.runs import registry
from orchestrator.runs.registry import Outcome, Record
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Record as Line
from orchestrator.state import State as RunState
from orchestrator.store.checkpoint import damage
from orchestrator.store.folder import MARK, Folder
from orchestrator.store.run_folder import WEIGHTS, RunFolder, reached
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import keys
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun, remember, remembered_run, remembered_status
from orchestrator.train import driver, run_checkpoints
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from orchestrator.train.state import TrainState
from orchestrator.train.worker import Run, Worker
from tests.crashes import disk
from tests.crashes.disk import State, Tree
from tests.crashes.trace import Trace, tracing
from tests.orchestrator.search.test_endings import JOURNAL
from tests.orchestrator.statements import PROGRESS, STARTED

NOTHING: Tree = {}
READ: dict[bytes, Any] = {}
RESUMED = 4
"""How many of the crashes of a run are followed by the rest of the training."""


def traced(root: Path, program: Callable[[Trace], object], begin: Tree = NOTHING) -> Trace:
    """Trace a program, and check that nothing it did to the folder has escaped.

    begin: what is in the folder at first.
    """
    disk.write(begin, root)
    with tracing(root) as trace:
        program(trace)
    assert disk.result(trace.operations, begin) == disk.read(root)
    return trace


def after_each_crash(
    trace: Trace, places: Path, check: Callable[[Path, State], None], *, least: int
) -> list[State]:
    """Check what each crash leaves, and say at how many points one was tried."""
    crashes = list(disk.states(trace.operations, NOTHING))
    check_all(crashes, places, check)
    points = disk.points(trace.operations)
    print(f"{points} operations, {len(crashes)} states")  # noqa: T201
    assert points >= least
    return crashes


def check_all(crashes: Iterable[State], places: Path, check: Callable[[Path, State], None]) -> None:
    """Check what crashes leave, each in a folder of its own."""
    places.mkdir()
    for number, state in enumerate(crashes):
        disk.write(state.tree, places / str(number))
        try:
            check(places / str(number), state)
        except Exception as error:
            raise AssertionError(f"{state.how}, operation {state.number}: {error!r}") from error


# --- A run ----------------------------------------------------------------------------------------


class Promising(FolderContext):
    """Promises each checkpoint once it is committed."""

    trace: Trace

    def commit(self, contents: Any, at: Any) -> None:
        super().commit(contents, at)
        self.trace.promise(at)


class PromisingJournal(Journal):
    """Promises the metrics of each step once they are recorded."""

    def __init__(self, folder: RunFolder, trace: Trace) -> None:
        super().__init__(folder)
        self._trace = trace

    def log(self, step: int, epoch: int, metrics: Any) -> None:
        super().log(step, epoch, metrics)
        self._trace.promise(step)


@pytest.fixture
def job(tiny_job: Callable[..., Job]) -> Job:
    return tiny_job(
        *("quantizer.bit_widths=[8, 2]", "checkpoint.every_steps=2", "checkpoint.keep=2"),
        *("checkpoint.select=best", "evaluate.points=[4]"),
    )


def train(job: Job, folder: RunFolder, trace: Trace | None = None) -> None:
    """Do what the driver and the one worker of a run do."""
    driver.prepare(folder, job)
    context = (
        Promising(folder, Ranks(), keep=2) if trace else FolderContext(folder, Ranks(), keep=2)
    )
    worker = Worker(job, Run(folder), context)
    if trace:
        context.trace = trace  # type: ignore[attr-defined]
        worker.recorder = PromisingJournal(folder, trace)
    worker.run()


def lines_of(folder: RunFolder) -> list[tuple[int, dict[str, float]]]:
    """Return what is recorded, without what measures time."""
    lines = Journal(folder).unsent()[0]
    return [(n, {k: v for k, v in one.items() if k not in keys.TIMES}) for n, _, one in lines]


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return dict(load_file(str(folder.checkpoints()[-1] / WEIGHTS)))


@pytest.fixture
def _one_thread() -> Iterable[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_a_run_goes_on_after_a_crash_at_any_operation(job: Job, tmp_path: Path) -> None:
    trace = traced(
        tmp_path / "disk", lambda trace: train(job, RunFolder(trace.root / "run"), trace)
    )
    whole = RunFolder(tmp_path / "disk" / "run")
    expected = lines_of(whole)

    def check(place: Path, state: State) -> None:
        check_run(RunFolder(place / "run"), state, expected, finished_in(whole))

    crashes = after_each_crash(trace, tmp_path / "crashed", check, least=200)
    check_second_life(job, crashes, tmp_path, check)
    for number, state in enumerate(random.Random(0).sample(crashes, RESUMED)):
        disk.write(state.tree, tmp_path / f"resumed-{number}")
        folder = RunFolder(tmp_path / f"resumed-{number}" / "run")
        train(job, folder)
        assert lines_of(folder) == expected
        assert replace(finished_in(folder), run_dir=str(whole)) == finished_in(whole)
        found = weights_of(folder)
        assert all(torch.equal(found[name], value) for name, value in weights_of(whole).items())


def check_second_life(
    job: Job, crashes: list[State], tmp_path: Path, check: Callable[[Path, State], None]
) -> None:
    """Check the same of a run that goes on after a kill in the middle of a write."""
    torn = [state for state in crashes if state.how == "killed in the middle of a write"]
    first = torn[len(torn) // 2]
    trace = traced(
        tmp_path / "again",
        lambda trace: train(job, RunFolder(trace.root / "run"), trace),
        first.tree,
    )
    again = disk.states(trace.operations, first.tree, first.promises)
    hows = ("killed", "power lost, all undone but removals")
    check_all((s for s in again if s.how in hows), tmp_path / "crashed again", check)


def best_in(checkpoint: Folder) -> Any:
    """Return the best epoch that a checkpoint names; each content is read once."""
    manifest = b"".join(checkpoint.chunks(MARK))
    if manifest not in READ:
        with checkpoint.here() as files:
            READ[manifest] = TrainState.read(files).best
    return READ[manifest]


def check_run(folder: RunFolder, state: State, expected: Sequence[Any], end: Any) -> None:
    """Check that a run is as it was at one of its moments, none of which has been lost."""
    newest = run_checkpoints.latest(folder)
    committed = [promise for promise in state.promises if not isinstance(promise, int)]
    at = reached(newest.name) if newest else None
    assert (newest is None and not committed) or (
        at is not None and at >= max(committed, default=at)
    )
    if newest:
        best = best_in(newest)
        assert best is None or damage(folder.best_copy(best.epoch + 1)) is None
    lines = lines_of(folder)
    assert lines == expected[: len(lines)]
    assert {step for step in state.promises if isinstance(step, int)} <= {step for step, _ in lines}
    facts_of(folder)
    if folder.result.exists():
        assert replace(finished_in(folder), run_dir=end.run_dir) == end
    if folder.is_there():
        Journal(folder).append(99, {"top1/8bit": 1.0})
        assert lines_of(folder) == [*lines, (99, {"top1/8bit": 1.0})]


# --- What is noted of a run -----------------------------------------------------------------------


def test_the_notes_of_a_record_are_whole_after_a_crash_at_any_operation(tmp_path: Path) -> None:
    runs = [TrackedRun("http://host:5000", "1", f"{number}" * 32) for number in range(3)]

    def program(trace: Trace) -> None:
        folder = RunFolder(trace.root / "run")
        folder.make()
        Events(folder).say(STARTED)
        for number, run in enumerate(runs):
            Journal(folder).append(number, {"top1/8bit": float(number)})
            remember(folder, run, "RUNNING")
            Events(folder).say(replace(PROGRESS, step=number))
            Journal(folder).mark_sent(Journal(folder).unsent()[1])
            trace.promise(number)
        remember(folder, runs[-1], "FINISHED")

    def check(place: Path, state: State) -> None:
        folder = RunFolder(place / "run")
        least = max(state.promises, default=-1)
        known = remembered_run(folder)
        assert known in (runs[least:] if least >= 0 else [None, *runs])
        assert remembered_status(folder) in ("RUNNING", "FINISHED", None)
        journal = Journal(folder)
        lines = [line.step for line in Journal(folder).unsent()[0]]
        assert lines == list(range(lines[0], 3))[: len(lines)] if lines else True
        assert not lines or lines[0] <= least + 2
        facts = facts_of(folder)
        assert facts.progress is None or facts.progress.step >= max(least, 0)
        if folder.is_there():
            journal.append(99, {"top1/8bit": 1.0})
            remember(folder, runs[0], "RUNNING")
            assert [line.step for line in journal.unsent()[0]] == [*lines, 99]
            assert remembered_run(folder) == runs[0]

    after_each_crash(traced(tmp_path / "disk", program), tmp_path / "crashed", check, least=60)


def test_a_search_goes_on_with_its_journal_after_a_crash_at_any_operation(tmp_path: Path) -> None:
    opened, *others = JOURNAL

    def journal_in(place: Path) -> SearchJournal:
        return SearchJournal(SearchFolder(RunFolder(place / "search")))

    def program(trace: Trace) -> None:
        RunFolder(trace.root / "search").make()
        journal = journal_in(trace.root)
        for number, line in enumerate(others):
            journal.append(line)
            if type(line).__name__ in ("Planned", "Ended"):
                trace.promise(number + 1)
        journal.mend(opened)  # type: ignore[arg-type]

    def check(place: Path, state: State) -> None:
        journal = journal_in(place)
        found: list[Line] = journal.read().records
        bare = [line for line in found if type(line) is not type(opened)]
        assert bare == others[: len(bare)]
        assert len(bare) >= max(state.promises, default=0)
        if (place / "search").is_dir():
            journal.append(others[-1])
            assert journal.read().records == [*found, others[-1]]

    after_each_crash(traced(tmp_path / "disk", program), tmp_path / "crashed", check, least=20)


def test_the_records_of_runs_are_whole_after_a_crash_at_any_operation(
    tmp_path: Path, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_record()
    second = first.again(2.0)
    kept: list[Record | None] = [None, first, second]

    def program(trace: Trace) -> None:
        monkeypatch.setenv("ORCH_HOME", str(trace.root / "orch"))
        for record in (first, second):
            registry.save(record)
            trace.promise(kept.index(record))
        outcome = Outcome(RunState.FAILED, 1, "", facts_of(first.folder))
        kept.append(registry.note_outcome(second, outcome))
        trace.promise(3)

    def check(place: Path, state: State) -> None:
        monkeypatch.setenv("ORCH_HOME", str(place / "orch"))
        with warnings.catch_warnings(record=True):
            found = registry.load_all()
        assert [*found, None][0] in kept[max(state.promises, default=0) :]
        registry.save(first)
        assert registry.load_all() == [first]

    after_each_crash(traced(tmp_path / "disk", program), tmp_path / "crashed", check, least=20)
    assert list(itertools.chain(kept))[-1] is not None
