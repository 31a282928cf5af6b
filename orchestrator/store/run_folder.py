"""The folder of a run: the only place that knows its files by name.

    job.yaml                     the settings, as the run began with them
    progress.json                the last facts that the run has reported
    metrics.jsonl, metrics.sent  the metrics, and how much of them MLflow has
    metrics.rejected             those that it did not accept, and why
    mlflow_run.json              where MLflow keeps the record
    stop                         the run's driver asks the workers to save and end
    stop_by_name                 a person asks the workers of one trial of a search to do so
    leave                        the workers are asked to save and end, for others to start
    checkpoint_p01_e0003_s000120 taken in phase 1 after 3 epochs and 120 steps of the next
    best-epoch-0003              a copy of the checkpoint at the end of the best epoch
    damaged_checkpoint_...       one that was found damaged, set aside
    result.json, results.md      the final results, as JSON and as a table

The folder itself is the list of checkpoints, so the list cannot disagree with the checkpoints.
"""

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.files import write_whole

WEIGHTS = "model.safetensors"
"""The file of a checkpoint that holds the weights by name."""

_COMMITTED = re.compile(r"checkpoint_p(\d+)_e(\d+)_s(\d+)")


class Reached(NamedTuple):
    """How far a run had come: the phase (from 0), whole epochs of it, and steps of the next one."""

    phase: int
    epoch: int
    step: int

    def __str__(self) -> str:
        """Return "epoch 3, step 5", epochs from 1, with the phase unless it is the first."""
        phase = f"phase {self.phase + 1}, " if self.phase else ""
        return f"{phase}epoch {self.epoch + 1}, step {self.step}"


@dataclass(frozen=True)
class WholeFile:
    """A file that is read and replaced as a whole, or not at all."""

    path: Path

    def exists(self) -> bool:
        """Return whether the file exists."""
        return self.path.exists()

    def read(self) -> str:
        """Return the text. Raises OSError, and ValueError when it is not text."""
        return self.path.read_text(encoding="utf-8")

    def read_json(self) -> Any:
        """Return the JSON value. Raises OSError, and ValueError when it is not JSON."""
        try:
            return json.loads(self.read())
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def write(self, text: str) -> None:
        """Replace the file. Raises OSError; then the old content stays."""
        write_whole(self.path, text)

    def written(self) -> float | None:
        """Return when the file was last written, in seconds since 1970; None where none is seen."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return None


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, by name."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    def is_there(self) -> bool:
        """Return whether the folder can be seen from here."""
        return self.path.is_dir()

    def make(self) -> None:
        """Create the folder if it does not exist."""
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def job(self) -> WholeFile:
        """The settings the run began with, as YAML."""
        return WholeFile(self.path / "job.yaml")

    @property
    def facts(self) -> WholeFile:
        """The last facts that the run has reported, as JSON."""
        return WholeFile(self.path / "progress.json")

    @property
    def metrics(self) -> Path:
        """The metrics, a JSON document on each line."""
        return self.path / "metrics.jsonl"

    @property
    def metrics_sent(self) -> WholeFile:
        """How many bytes of the metrics the tracking server has."""
        return WholeFile(self.path / "metrics.sent")

    @property
    def metrics_rejected(self) -> Path:
        """The metrics that the tracking server did not accept, a JSON document on each line."""
        return self.path / "metrics.rejected"

    @property
    def record(self) -> WholeFile:
        """Where the tracking server keeps the run's record, as JSON."""
        return WholeFile(self.path / "mlflow_run.json")

    @property
    def result(self) -> WholeFile:
        """The final results as JSON; only there once the last epoch is over."""
        return WholeFile(self.path / "result.json")

    @property
    def table(self) -> WholeFile:
        """The final results as a table in Markdown."""
        return WholeFile(self.path / "results.md")

    @property
    def stop(self) -> Path:
        """Asks the workers to save and end, by being there: the request of the run's driver."""
        return self.path / "stop"

    @property
    def stop_by_name(self) -> Path:
        """The same, asked by a person of a trial: no search ever removes it."""
        return self.path / "stop_by_name"

    @property
    def leave(self) -> Path:
        """The same, asked by what starts the workers: it starts others then, elsewhere or more."""
        return self.path / "leave"

    def end_is_asked(self) -> bool:
        """Return whether the workers are asked to save and end, by whomever."""
        return self.stop_is_asked() or self.leave_is_asked()

    def stop_is_asked(self) -> bool:
        """Return whether they are asked to do so for good."""
        return self.stop.exists() or self.is_stopped_by_name()

    def ask_to_leave(self) -> None:
        """Ask the workers to save and end, since others are about to be started."""
        self.leave.touch()

    def leave_is_asked(self) -> bool:
        """Return whether the workers are asked to make room for others."""
        return self.leave.exists()

    def withdraw_leave(self) -> None:
        """Withdraw that request: others start."""
        self.leave.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Ask the workers to save and end, as the run's driver."""
        self.stop.touch()

    def withdraw_stop(self) -> None:
        """Withdraw the request of a driver."""
        self.stop.unlink(missing_ok=True)

    def ask_to_stop_by_name(self) -> None:
        """Ask the workers to save and end, as a person who named this trial."""
        self.stop_by_name.touch()

    def is_stopped_by_name(self) -> bool:
        """Return whether a person has asked this trial to end."""
        return self.stop_by_name.exists()

    def withdraw_stop_by_name(self) -> None:
        """Withdraw the request of a person."""
        self.stop_by_name.unlink(missing_ok=True)

    def last_sign_of_life(self) -> float:
        """Return when the run last wrote its progress; now, if it never did."""
        signs = (self.facts, WholeFile(self.metrics), self.job)
        return max((at for sign in signs if (at := sign.written())), default=time.time())

    def checkpoints(self) -> list[Path]:
        """Return the folders of the committed checkpoints, the newest last."""
        found = [(reached(folder), folder) for folder in self.path.glob("checkpoint_*")]
        return [folder for at, folder in sorted((at, folder) for at, folder in found if at)]

    def newest(self) -> Reached | None:
        """Return the position of the newest checkpoint; None when there is none."""
        found = self.checkpoints()
        return reached(found[-1]) if found else None

    def best(self) -> list[Path]:
        """Return the copies of best epochs: one, or two if a kill came in between."""
        return sorted(self.path.glob("best-epoch-*"))

    def best_copy(self, epoch: int) -> Path:
        """Return where the copy of the best epoch's checkpoint is, epochs of the run from 1."""
        return self.path / f"best-epoch-{epoch:04d}"

    def to_continue_from(self) -> list[Path]:
        """Return all checkpoints, the newest first; copies of best epochs are the last resort."""
        return [*reversed(self.checkpoints()), *reversed(self.best())]

    def unusable(self) -> list[str]:
        """Return the names of everything else that was once a checkpoint."""
        usable = {folder.name for folder in self.checkpoints()}
        return sorted({folder.name for folder in self.path.glob("*checkpoint_*")} - usable)

    def scratch(self, at: Reached) -> Path:
        """Return where a checkpoint is written before it is committed, emptied."""
        folder = self.path / f".checkpoint-{'-'.join(map(str, at))}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def commit(self, folder: Path, at: Reached, *, keep: int) -> None:
        """Make a written checkpoint the latest one, and remove all but the last `keep`.

        If there is one of this position already, the run continued from it, and it stays.
        """
        target = self.path / f"checkpoint_p{at.phase + 1:02d}_e{at.epoch:04d}_s{at.step:06d}"
        if target.exists():
            shutil.rmtree(folder)
        else:
            folder.rename(target)
        for old in self.checkpoints()[:-keep]:
            shutil.rmtree(old.rename(old.with_name(f".{old.name}")))

    def keep_as_best(self, folder: Path, epoch: int) -> None:
        """Copy a checkpoint as that of the best epoch, beside those of epochs before."""
        target = self.best_copy(epoch)
        scratch = target.with_name(f".{target.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            shutil.copytree(folder, scratch)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)

    def drop_best_but(self, epoch: int) -> None:
        """Remove the copies of all best epochs but one."""
        for old in self.best():
            if old != self.best_copy(epoch):
                shutil.rmtree(old.rename(old.with_name(f".{old.name}")))

    def set_aside(self, folder: Path) -> Path:
        """Rename a damaged checkpoint to a name that is not in use; return the new path."""
        number, target = 1, folder.with_name(f"damaged_{folder.name}")
        while target.exists():
            number += 1
            target = folder.with_name(f"damaged_{folder.name}.{number}")
        return folder.rename(target)

    def sweep(self) -> None:
        """Remove what a kill in the middle of a save left behind."""
        for pattern in (".checkpoint*", ".best-epoch-*"):
            for folder in self.path.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)


def reached(checkpoint: Path) -> Reached | None:
    """Return the position of a checkpoint, by its name; None for another folder."""
    name = _COMMITTED.fullmatch(checkpoint.name)
    return Reached(int(name[1]) - 1, int(name[2]), int(name[3])) if name else None
