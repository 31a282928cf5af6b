"""Trains the legs of a search on groups of workers of a Ray cluster."""

import time
from collections.abc import Mapping, Sequence

import ray

from orchestrator.errors import JobFailed, OrchError
from orchestrator.events import of_trial
from orchestrator.job.schema import Job
from orchestrator.job.trial import load_trial
from orchestrator.plan.workers import room_for
from orchestrator.search.crew import Leg, News
from orchestrator.search.records import Began, How, Left
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.track.sender import Sender
from orchestrator.train import driver
from orchestrator.train.member import Outcome
from orchestrator.train.trainer import gpus_per_worker
from orchestrator.train.why_lost import cause
from orchestrator.trials.assignment import Assignment
from orchestrator.trials.group import Frozen, Group, Lost, Shape
from orchestrator.typed_json import Values

LOOK_SECONDS = 0.25
"""How often the folders of the runs are looked at."""
SAVE_SECONDS = 50.0
"""How long a leg that is asked to stop may take; the cluster ends the driver after a minute."""


class RayCrew:
    """Groups of workers that are kept as long as there are legs that fit them.

    job: of the search. reference: of Delta_B. A request to end the search is passed on to its runs.
    """

    def __init__(
        self, search: SearchFolder, job: Job, reference: ReferenceResults | None, sender: Sender
    ) -> None:
        self._search = search
        self._job = job
        self._reference = reference
        self._sender = sender
        self._waiting: list[Assignment] = []
        self._going: list[Assignment] = []
        self._idle: list[Group] = []
        self._told: list[News] = []
        self._begun: set[str] = set()
        self._stop_is_asked = search.run.watch_stop()

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return time.time()

    def free(self) -> int:
        """Return for how many more legs of the search's own job there is room."""
        if self.stop_is_asked():
            return 0
        shape = shape_of(self._job)
        places = sum(
            room_for(n.get("CPU", 0), n.get("GPU", 0), cpus_each=shape.cpus, gpus_each=shape.gpus)
            for n in nodes()
        )
        room = max(places // shape.num_workers, 1)
        return max(room - len(self._waiting) - len(self._going), 0)

    def hand(self, leg: Leg) -> None:
        """Take a leg. A run that a person has stopped, or that is over, leaves at once."""
        folder = self._search.of_run(leg.run)
        if folder.is_stopped_by_name() and not folder.result.exists():
            self._tell_left(leg.run, Outcome(How.STOPPED))
            return
        try:
            assignment = self._assignment(leg, folder)
        except OrchError as error:
            self._tell_left(leg.run, Outcome(How.FAILED, str(error)))
            return
        if folder.result.exists():
            self._leave(assignment, Outcome(How.FINISHED))
        else:
            self._waiting.append(assignment)

    def job_of(self, run: str) -> Values | None:
        """Return the values of the job with which a run was begun before; None if it was not."""
        return driver.kept_job(self._search.of_run(run))

    def ask_to_stop(self, run: str) -> None:
        """Ask a run to save and end; one that waits leaves at once."""
        for assignment in self._of(run):
            assignment.ask_to_stop()

    def stop_is_asked(self) -> bool:
        """Return whether the search is asked to save and end."""
        return self._stop_is_asked()

    def news(self, within: float) -> Sequence[News]:
        """Return what has happened; waits for at most so many seconds."""
        self._close_idle()
        until = time.monotonic() + within
        while True:
            self._look()
            rest = until - time.monotonic()
            if self._told or rest <= 0:
                told, self._told = self._told, []
                return told
            self._pause(rest)

    def close(self) -> None:
        """End all groups."""
        for group in [*self._idle, *(a.group for a in self._going if a.group)]:
            group.close()
        self._idle, self._going = [], []

    # --- Legs that wait ---------------------------------------------------------------------------

    def _assignment(self, leg: Leg, folder: RunFolder) -> Assignment:
        """Make the folder of a run, or check what is there, and let its record be kept."""
        job = load_trial(
            self._job.as_dict(), leg.settings, folder.name, self._job.seed + leg.seed
        ).job
        driver.prepare(folder, job)
        if leg.run not in self._begun:
            self._begun.add(leg.run)
            with of_trial(leg.run):
                driver.begin(folder)
            self._sender.watch(folder, leg.run)
        return Assignment.of(leg, folder, job, shape_of(job))

    def _start_waiting(self) -> None:
        """Hand the legs that wait to groups, idle ones or new ones."""
        for assignment in self._waiting:
            self._start(assignment)
        self._waiting = []

    def _start(self, assignment: Assignment) -> None:
        run, shape = assignment.leg.run, assignment.shape
        group = next((one for one in self._idle if one.shape == shape), None)
        assignment.start(group or Group(shape), self._reference)
        if group:
            self._idle.remove(group)
        self._going.append(assignment)
        assert assignment.group is not None
        self._told.append(Began(self.now(), run, assignment.group.name, shape.num_workers))

    def _close_idle(self) -> None:
        """End the groups for which no leg waits: others may use what they have."""
        wanted = [assignment.shape for assignment in self._waiting]
        for group in list(self._idle):
            if group.shape in wanted:
                wanted.remove(group.shape)
            else:
                self._idle.remove(group)
                group.close()

    # --- Legs that are trained --------------------------------------------------------------------

    def _look(self) -> None:
        stops = self.stop_is_asked()
        for assignment in [*self._going, *self._waiting]:
            if stops:
                assignment.ask_to_stop()
        for assignment in [one for one in self._waiting if one.asked is not None]:
            self._waiting.remove(assignment)
            self._leave(assignment, Outcome(How.STOPPED))
        self._start_waiting()
        for assignment in list(self._going):
            self._hear(assignment)

    def _hear(self, assignment: Assignment) -> None:
        assert assignment.group is not None
        try:
            outcome = assignment.group.outcome()
            if outcome is None:
                _check_overdue(assignment)
        except Lost as lost:
            self._lose(assignment, lost.errors)
            return
        self._told += assignment.tail.new()
        if outcome:
            self._going.remove(assignment)
            self._idle.append(assignment.group)
            self._leave(assignment, outcome)

    def _lose(self, assignment: Assignment, errors: Mapping[int, Exception]) -> None:
        """End a group, and let another one continue its leg if that can help."""
        assert assignment.group is not None
        self._going.remove(assignment)
        assignment.group.close()
        named = cause(errors)
        if named and not isinstance(named, StorageTrouble):  # which is not the fault of the trial
            self._leave(assignment, Outcome(How.FAILED, str(named)))
        elif assignment.asked is not None:
            self._leave(assignment, Outcome(How.STOPPED))
        else:
            self._begin_again(assignment, errors)

    def _begin_again(self, assignment: Assignment, errors: Mapping[int, Exception]) -> None:
        try:
            assignment.lose(errors)
        except JobFailed as error:
            self._leave(assignment, Outcome(How.FAILED, str(error)))
        else:
            self._waiting.insert(0, assignment)

    def _leave(self, assignment: Assignment, outcome: Outcome) -> None:
        """Tell the last news of a leg; one that no person has stopped may continue later."""
        self._told += assignment.tail.new()
        try:
            assignment.conclude(outcome)
        except JobFailed as error:
            outcome = Outcome(How.FAILED, str(error))
        if outcome.how == How.STOPPED and not assignment.folder.is_stopped_by_name():
            outcome = Outcome(How.PARKED)
        self._tell_left(assignment.leg.run, outcome)

    def _tell_left(self, run: str, outcome: Outcome) -> None:
        self._told.append(Left(self.now(), run, outcome.how, outcome.reason))

    # --- Waiting ----------------------------------------------------------------------------------

    def _pause(self, most: float) -> None:
        """Wait until a leg may have ended, unless one can start."""
        if self._waiting:
            return
        seconds = min(most, LOOK_SECONDS)
        going = [leg for one in self._going if one.group for leg in one.group.going()]
        if going:
            ray.wait(going, num_returns=1, timeout=seconds)
        else:
            time.sleep(seconds)

    def _of(self, run: str) -> list[Assignment]:
        return [one for one in (*self._going, *self._waiting) if one.leg.run == run]


def shape_of(job: Job) -> Shape:
    """Return what the workers of a job need on this process's cluster."""
    return Shape(
        job.cluster.most,
        job.cluster.cpus_per_worker,
        gpus_per_worker(job, nodes()),
        job.training.deterministic,
    )


def _check_overdue(assignment: Assignment) -> None:
    """Raise Lost for a leg that was asked to stop and can or will not."""
    assert assignment.group is not None
    if assignment.asked is None:
        return
    since = time.monotonic() - assignment.asked
    if since > SAVE_SECONDS or not assignment.group.has_met:
        raise Lost({0: Frozen(f"It did not end within {since:.0f} seconds.")})


def nodes() -> list[dict[str, float]]:
    """Return the resources of each machine of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
