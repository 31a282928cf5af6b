"""What each rank does, from start to end: set up or resume, then train, evaluate and record."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from orchestrator.data.loader import steps_per_epoch, train_batches
from orchestrator.events import inform, warn
from orchestrator.job.schema import Job
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare.build import check_broken
from orchestrator.run_facts import Events, write_end
from orchestrator.search.records import How
from orchestrator.store.folder import Folder
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.track.journal import Journal
from orchestrator.track.result import Result
from orchestrator.train.arithmetic import announce
from orchestrator.train.class_table import keep_classes
from orchestrator.train.context import Context
from orchestrator.train.epoch import train_epoch
from orchestrator.train.evaluate import evaluate
from orchestrator.train.last_rows import last_rows
from orchestrator.train.measure import epoch_metrics, point_metrics
from orchestrator.train.optimizers import learning_rates
from orchestrator.train.phase import Phase, build_phase
from orchestrator.train.progress import Progress
from orchestrator.train.samples import Samples
from orchestrator.train.saver import Saver
from orchestrator.train.setup import build_parts
from orchestrator.train.start_from_data import start_from_data
from orchestrator.train.state import RankState, TrainState, check_finite, load_weights
from orchestrator.train.tally import Tally
from orchestrator.train.tidy import tidy
from orchestrator.train.zero_shot import calibrate_in_place


@dataclass(frozen=True)
class Run:
    """One run of a job: its folder, and the reference of its results."""

    folder: RunFolder
    reference: ReferenceResults | None = None


class Worker:
    """One rank of a run, at the last checkpoint or the start.

    at: how much is done. phase, tally: the running phase, and the sums of its running epoch.
    """

    at: Reached
    phase: Phase
    tally: Tally

    def __init__(self, job: Job, run: Run, context: Context) -> None:
        self.job = job
        self.folder, self.reference = run.folder, run.reference
        self._end_is_asked = run.folder.watch_end()
        self.context = context
        self.ranks = context.ranks
        self._saver = Saver(self.folder, context.commit)
        checkpoint = self._newest()
        self.parts = build_parts(job, self.ranks, resumed=checkpoint is not None)
        self.samples = Samples.of(self.parts.train_set)
        torch.manual_seed(job.seed + 1 + self.ranks.rank)
        plan = plan_batch(
            job.training.global_batch, self.ranks.world, job.cluster.max_batch_per_worker
        )
        self.plan = plan
        self.steps = steps_per_epoch(len(self.parts.train_set), plan.global_batch)
        self.phase_jobs = job.phase_jobs()
        self.best: Result | None = None
        self.last: Result | None = None
        epochs = [phase.training.epochs for phase in self.phase_jobs]
        self.progress = Progress(Events(self.folder), epochs, self.steps)
        self.recorder = Journal(self.folder) if self.ranks.is_first else None
        if self.ranks.is_first:
            announce(self.parts.arithmetic, self.folder)
            sets = self.parts.train_set, self.parts.val_set
            keep_classes(self.folder, *sets, fresh=checkpoint is None)
        if checkpoint is None:
            self._begin()
        else:
            self._resume(checkpoint)

    def run(self, until: int | None = None) -> How:
        """Train until the end, an epoch of the run (from 1), or asked to stop; return which."""
        self.samples.check_ranks(self.ranks, _place(self.job))
        with self._saver:
            return self._run(until)

    def _run(self, until: int | None) -> How:
        while self.at.epoch < self.phase.epochs:
            if until is not None and self._epochs_done() >= until:
                return How.PARKED
            if self.phase.job.method.trains and self._train():
                return How.STOPPED
            self._finish_epoch()
        self._saver.finish()
        self._finish()
        return How.FINISHED

    def _newest(self) -> Folder | None:
        """Return the checkpoint to continue from, if there is one."""
        if self.ranks.is_first:
            self.folder.sweep()
        return self.context.latest()

    def _train(self) -> bool:
        """Train to the end of the epoch; return whether a stop came first."""
        steps = train_batches(
            self.parts.train_set,
            self.plan,
            rank=self.ranks.rank,
            seed=self.job.seed,
            epoch=self._epochs_done(),
            start_step=self.at.step,
            loaders=self.parts.loaders,
        )
        stopped = train_epoch(
            self.phase.loop,
            steps,
            self.tally,
            epoch=self.at.epoch,
            first_step=self.at.step,
            wants_stop=self._stop_asked,
            after_step=self._after_step,
        )
        self.progress.settle()
        if stopped:
            self._save()
        return stopped

    def _after_step(self, done: int) -> None:
        self.at = self.at._replace(step=done)
        self._tell_broken(self.tally.broken)
        every = self.job.checkpoint.every_steps
        if every and self._steps_done() % every == 0 and done < self.steps:
            self.tally.check_finite(self.ranks)
            self._save()
        if self.ranks.is_first:
            self.progress.tell(self.at, self.tally)

    def _finish_epoch(self) -> None:
        """Save, evaluate, record, and save the state at the start of the next epoch.

        The first save keeps the epoch if the evaluation fails.
        """
        if self.phase.method.calibrates:
            calibrate_in_place(self.parts.network, self.job, self.parts, self.plan, self.ranks)
        losses = self.tally.mean_losses(self.ranks)
        seconds = self.tally.seconds
        self._save()
        self.tally.broken = self._gathered(self.tally.broken)
        limit = self.job.data.max_broken_share
        check_broken(self.parts.train_set, len(self.tally.broken), limit, "training")
        evaluation = evaluate(
            self.parts.network,
            self.phase.job.points,
            self.parts.val_set,
            self.ranks,
            batch=self.job.cluster.max_batch_per_worker,
            loaders=self.parts.loaders,
        )
        check_broken(self.parts.val_set, len(evaluation.broken), limit, "evaluation")
        epoch = self._epochs_done() if self.phase.job.method.trains else -1
        reached = Result(
            evaluation.metric_name,
            epoch,
            self._steps_done(),
            evaluation.rows,
            classes=evaluation.classes,
        )
        result = reached.beside(self.reference)
        rates = learning_rates(self.phase.optimizer) if self.tally.samples else {}
        metrics = epoch_metrics(
            self.parts.network, self.tally, evaluation, result, losses, rates, seconds
        )
        if self.ranks.is_first:
            self.progress.evaluated(self.at, result, losses, evaluation.broken)
            self._record(reached, metrics)
        self._go_on(reached)

    def _go_on(self, reached: Result) -> None:
        """Advance to the next epoch, which may be the first of the next phase, and save."""
        self.last = reached
        if self._is_best(reached):
            self.best = reached
        self.at = Reached(self.at.phase, self.at.epoch + 1, 0)
        if self.at.epoch == self.phase.epochs and self.at.phase + 1 < len(self.phase_jobs):
            self._start_phase(self.at.phase + 1)
        else:
            self.tally = Tally(self.phase.method.loss_names, self.ranks.device)
        self._save(is_best=self.best is reached)

    def _enter(self, at: Reached, *, resumed: bool = False) -> None:
        """Build the phase of a position; its optimizer, method and tally are new."""
        before = self.phase.method if at.phase and not resumed else None
        self.at = at
        self.phase = build_phase(
            self.phase_jobs,
            at.phase,
            self.parts,
            self.ranks,
            self.steps,
            before=before,
            resumed=resumed,
        )
        self.tally = Tally(self.phase.method.loss_names, self.ranks.device)

    def _start_phase(self, number: int) -> None:
        """Begin a phase with a fresh optimizer and method, and without a best epoch."""
        self._enter(Reached(number, 0, 0))
        self.best = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.job.seed)
            self.phase.method.start_phase(self.parts.network)
        start_from_data(self.phase, self.parts, self.plan, self.ranks)
        if self.ranks.is_first and len(self.phase_jobs) > 1:
            points = ", ".join(point.name for point in self.phase.job.points)
            method = self.phase.job.method.name
            inform(f"Phase {number + 1}/{len(self.phase_jobs)}: {method} at {points}.")

    def _finish(self) -> None:
        """Write the result of the chosen weights: the last epoch's, or the last phase's best."""
        chosen = self.best if self.job.checkpoint.select == "best" else self.last
        if chosen is None:
            return
        rows = last_rows(chosen, self.job, self.parts, self.plan, self.ranks, self.folder)
        if self.ranks.is_first:
            if rows:
                self._record(chosen, point_metrics(chosen.metric_name, rows))
            whole = replace(chosen, rows=(*chosen.rows, *rows))
            write_end(self.folder, whole.beside(self.reference))

    def _is_best(self, reached: Result) -> bool:
        total = sum(reached.metric.values())
        return self.best is None or total > sum(self.best.metric.values())

    def _steps_done(self) -> int:
        """Return the optimizer steps of the run so far, the x-axis of its metrics in MLflow."""
        return self._epochs_done() * self.steps + self.at.step

    def _epochs_done(self) -> int:
        """Return the completed epochs of the run so far, over all phases."""
        return self.phase.epochs_before + self.at.epoch

    def _record(self, result: Result, metrics: dict[str, float]) -> None:
        """Record metrics of the weights that a result is about."""
        if self.recorder:
            self.recorder.log(result.step, result.epoch + 1, metrics)

    def _save(self, *, is_best: bool = False) -> None:
        """Begin to commit the state of all ranks as the latest checkpoint.

        is_best: the epoch that has just ended is the best one. Raises Diverged, on every rank, when
        a number in the state is not finite: the last checkpoint from which a run can continue stays
        the latest. Raises OSError when the one before could not be written.
        """
        both = self.parts.network, self.phase.method
        check_finite(*both, self.phase.optimizer, self.ranks, self.at)
        self._saver.finish()
        state = self._state()
        if self.ranks.is_first:
            best = self.best.epoch + 1 if self.best else None
            contents = state.contents(self.parts.network)
            self._saver.start(contents, self.at, best, is_best=is_best)

    def _state(self) -> TrainState:
        return TrainState(
            job=self.job.as_dict(),
            at=self.at,
            micro_batch=self.plan.micro_batch,
            optimizer=self.phase.optimizer.state_dict(),
            method=self.phase.method.state_dict(),
            ranks=self.ranks.gather(RankState.of(self.parts.network)),
            tallies=self.ranks.gather(self.tally.state()),
            best=self.best,
            last=self.last,
            samples=self.samples,
        )

    def _begin(self) -> None:
        if self.parts.warning and self.ranks.is_first:
            warn(self.parts.warning)
        self._start_phase(0)

    def _resume(self, checkpoint: Folder) -> None:
        """Continue from a checkpoint."""
        with checkpoint.here() as folder:
            state = TrainState.read(folder)
            state.check_same_job(self.job, str(checkpoint))
            self.samples.check_unchanged(state.samples, str(checkpoint), _place(self.job))
            self._enter(state.at, resumed=True)
            self._restore(state, folder)
        self.last = state.last
        self.best = self._best_with_copy(state.best)
        if self.ranks.is_first and (best := self.best):
            tidy(self.folder, lambda: self.folder.drop_best_but(best.epoch + 1))
        if self.ranks.is_first:
            inform(f"Continuing from the checkpoint at {self.at}.")
            self._tell_changed_plan(state.micro_batch)

    def _best_with_copy(self, best: Result | None) -> Result | None:
        """Return the best epoch so far, unless its copy is lost, as after a damaged checkpoint."""
        if best is None or self.folder.best_copy(best.epoch + 1) in self.folder.best():
            return best
        if self.ranks.is_first:
            warn(
                f"The weights of epoch {best.epoch + 1}, the best one so far, are lost; the best "
                "of the epochs from here on takes its place."
            )
        return None

    def _restore(self, state: TrainState, folder: Path) -> None:
        """Restore everything that trains from a checkpoint's state."""
        load_weights(folder, self.parts.network)
        self.phase.optimizer.load_state_dict(state.optimizer)
        self.phase.method.load_state_dict(state.method)
        state.restore_rank(self.parts.network, self.ranks)
        each = state.micro_batch / self.plan.micro_batch
        self.tally.restore(state.tallies, rank=self.ranks.rank, world=self.ranks.world, each=each)

    def _tell_changed_plan(self, before: int) -> None:
        if before != self.plan.micro_batch:
            message = (
                f"Passes have {self.plan.micro_batch} samples now, {before} before: batch norm's "
                "statistics change, so the results differ from those of an uninterrupted run."
            )
            warn(message)

    def _stop_asked(self) -> bool:
        return self.ranks.is_first and self._end_is_asked()

    def _tell_broken(self, broken: dict[str, str]) -> None:
        """Name newly found broken samples in the log, and stop when they are too many."""
        for source, reason in self.progress.new_broken(broken):
            warn(f"Replaced {source}: {reason}")
        check_broken(self.parts.train_set, len(broken), self.job.data.max_broken_share, "training")

    def _gathered(self, broken: dict[str, str]) -> dict[str, str]:
        return {source: why for part in self.ranks.gather(broken) for source, why in part.items()}


def _place(job: Job) -> str:
    """Return where the data of a job is, for messages."""
    return str(getattr(job.data, "root", job.data.name))
