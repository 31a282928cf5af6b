"""The folder of a run: the only place that knows its files by name.

    job.yaml                     the settings, as the run began with them
    progress.json                the last facts that the workers have reported
    driver.json, restarts.json   those of the driver, and the workers with their losses
    recorded.json                and where it was said that the record is
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
    classes.csv                  the classes by number, and how many samples each has

The folder itself is the list of checkpoints, so the list cannot disagree with the checkpoints.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.store.checkpoint import with_manifest
from orchestrator.store.folder import Folder, Growing
from orchestrator.store.place import folder_at

WEIGHTS = "model.safetensors"
"""The file of a checkpoint that holds the weights by name."""

_CHECKPOINT, _BEST, _DAMAGED = "checkpoint_", "best-epoch-", "damaged_"
_COMMITTED = re.compile(_CHECKPOINT + r"p(\d+)_e(\d+)_s(\d+)")
_STOP, _STOP_BY_NAME, _LEAVE = "stop", "stop_by_name", "leave"


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

    folder: Folder
    name: str

    def __str__(self) -> str:
        return str(self.folder / self.name)

    def exists(self) -> bool:
        """Return whether the file exists."""
        return self.folder.exists(self.name)

    def read(self) -> str:
        """Return the text. Raises OSError, and ValueError when it is not text."""
        return self.folder.content(self.name).decode("utf-8")

    def read_json(self) -> Any:
        """Return the JSON value. Raises OSError, and ValueError when it is not JSON."""
        try:
            return json.loads(self.read())
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def write(self, text: str) -> None:
        """Replace the file. Raises OSError; then the old content stays."""
        self.folder.write(self.name, text.encode())

    def here(self) -> AbstractContextManager[Path]:
        """Return a context in which the file is on the disk of this machine."""
        return self.folder.file_here(self.name)

    def written(self) -> float | None:
        """Return when the file was last written, in seconds since 1970; None where none is seen."""
        return self.folder.written(self.name)


@dataclass(frozen=True, init=False)
class RunFolder:
    """The files of a run, by name. place: the folder, wherever it is."""

    place: Folder

    def __init__(self, place: Folder | Path | str) -> None:
        found = folder_at(place) if isinstance(place, Path | str) else place
        object.__setattr__(self, "place", found)

    def __str__(self) -> str:
        return str(self.place)

    @property
    def name(self) -> str:
        """The run's id."""
        return self.place.name

    def is_there(self) -> bool:
        """Return whether the folder can be seen from here."""
        return self.place.is_there()

    def make(self) -> None:
        """Create the folder if it does not exist."""
        self.place.make()

    def file(self, name: str) -> WholeFile:
        """Return the file of a name."""
        return WholeFile(self.place, name)

    @property
    def job(self) -> WholeFile:
        """The settings the run began with, as YAML."""
        return self.file("job.yaml")

    @property
    def facts(self) -> WholeFile:
        """The last facts that the workers have reported, as JSON."""
        return self.file("progress.json")

    @property
    def driver_facts(self) -> WholeFile:
        """The last facts that the driver has reported, as JSON."""
        return self.file("driver.json")

    @property
    def restarts(self) -> WholeFile:
        """The restarts of the attempt, and its present workers, as JSON."""
        return self.file("restarts.json")

    @property
    def recorded(self) -> WholeFile:
        """The last fact that was reported of the record, as JSON."""
        return self.file("recorded.json")

    @property
    def metrics(self) -> Growing:
        """The metrics, a JSON document on each line."""
        return self.place.growing("metrics.jsonl")

    @property
    def metrics_sent(self) -> WholeFile:
        """How many bytes of the metrics the tracking server has."""
        return self.file("metrics.sent")

    @property
    def metrics_rejected(self) -> Growing:
        """The metrics that the tracking server did not accept, a JSON document on each line."""
        return self.place.growing("metrics.rejected")

    @property
    def record(self) -> WholeFile:
        """Where the tracking server keeps the run's record, as JSON."""
        return self.file("mlflow_run.json")

    @property
    def result(self) -> WholeFile:
        """The final results as JSON; only there once the last epoch is over."""
        return self.file("result.json")

    @property
    def table(self) -> WholeFile:
        """The final results as a table in Markdown."""
        return self.file("results.md")

    @property
    def classes(self) -> WholeFile:
        """The classes by number, with their samples, as CSV."""
        return self.file("classes.csv")

    @property
    def stop_by_name(self) -> WholeFile:
        """A person's request that the workers of a trial save and end; no search removes it."""
        return self.file(_STOP_BY_NAME)

    def watch_end(self) -> Callable[[], bool]:
        """Return what says, in no time, whether the workers are asked to save and end."""
        return self.place.watch((_STOP, _STOP_BY_NAME, _LEAVE))

    def watch_stop(self) -> Callable[[], bool]:
        """Return what says, in no time, whether they are asked to do so for good."""
        return self.place.watch((_STOP, _STOP_BY_NAME))

    def end_is_asked(self) -> bool:
        """Return whether the workers are asked to save and end, by whomever."""
        return self.watch_end()()

    def stop_is_asked(self) -> bool:
        """Return whether they are asked to do so for good."""
        return self.place.exists(_STOP) or self.is_stopped_by_name()

    def ask_to_leave(self) -> None:
        """Ask the workers to save and end, since others are about to be started."""
        self.place.write(_LEAVE, b"")

    def leave_is_asked(self) -> bool:
        """Return whether the workers are asked to make room for others."""
        return self.place.exists(_LEAVE)

    def withdraw_leave(self) -> None:
        """Withdraw that request: others start."""
        self.place.remove(_LEAVE)

    def ask_to_stop(self) -> None:
        """Ask the workers to save and end, as the run's driver."""
        self.place.write(_STOP, b"")

    def withdraw_stop(self) -> None:
        """Withdraw the request of a driver."""
        self.place.remove(_STOP)

    def ask_to_stop_by_name(self) -> None:
        """Ask the workers to save and end, as a person who named this trial."""
        self.place.write(_STOP_BY_NAME, b"")

    def is_stopped_by_name(self) -> bool:
        """Return whether a person has asked this trial to end."""
        return self.stop_by_name.exists()

    def withdraw_stop_by_name(self) -> None:
        """Withdraw the request of a person."""
        self.place.remove(_STOP_BY_NAME)

    def last_sign_of_life(self) -> float:
        """Return when the run last wrote its progress; now, if it never did."""
        files = (self.facts, self.driver_facts, self.metrics, self.job)
        return max(filter(None, (file.written() for file in files)), default=time.time())

    def checkpoints(self) -> list[Folder]:
        """Return the folders of the committed checkpoints, the newest last."""
        found = [(reached(name), name) for name in self.place.folders(_CHECKPOINT)]
        return [self.place / name for at, name in sorted((at, name) for at, name in found if at)]

    def newest(self) -> Reached | None:
        """Return the position of the newest checkpoint; None when there is none."""
        found = self.checkpoints()
        return reached(found[-1].name) if found else None

    def best(self) -> list[Folder]:
        """Return the copies of best epochs: one, or two if a kill came in between."""
        return [self.place / name for name in self.place.folders(_BEST)]

    def best_copy(self, epoch: int) -> Folder:
        """Return where the copy of the best epoch's checkpoint is, epochs of the run from 1."""
        return self.place / f"{_BEST}{epoch:04d}"

    def to_continue_from(self) -> list[Folder]:
        """Return all checkpoints, the newest first; copies of best epochs are the last resort."""
        return [*reversed(self.checkpoints()), *reversed(self.best())]

    def unusable(self) -> list[str]:
        """Return the names of everything else that was once a checkpoint."""
        usable = {folder.name for folder in self.checkpoints()}
        every = {*self.place.folders(_CHECKPOINT), *self.place.folders(_DAMAGED + _CHECKPOINT)}
        return sorted(every - usable)

    def commit(self, contents: Mapping[str, bytes], at: Reached) -> None:
        """Write a checkpoint, the latest one.

        If there is one of this position already, the run continued from it, and it stays. Raises
        OSError; then nothing of it stays.
        """
        name = f"{_CHECKPOINT}p{at.phase + 1:02d}_e{at.epoch:04d}_s{at.step:06d}"
        if name not in self.place.folders(name):
            self.place.put(name, with_manifest(contents))

    def drop_all_but(self, keep: int) -> None:
        """Remove all checkpoints but the last `keep`. Raises OSError; none is half there."""
        for old in self.checkpoints()[:-keep]:
            self.place.drop(old.name)

    def keep_as_best(self, contents: Mapping[str, bytes], epoch: int) -> None:
        """Write a checkpoint as that of the best epoch, beside those of epochs before.

        Raises OSError; then nothing of it stays.
        """
        self.place.put(self.best_copy(epoch).name, with_manifest(contents))

    def drop_best_but(self, epoch: int) -> None:
        """Remove the copies of all best epochs but one. Raises OSError; none is half there."""
        for old in self.best():
            if old != self.best_copy(epoch):
                self.place.drop(old.name)

    def set_aside(self, checkpoint: Folder) -> Folder:
        """Rename a damaged checkpoint to a name that is not in use; return the renamed one."""
        number, name = 1, f"{_DAMAGED}{checkpoint.name}"
        while name in self.place.folders(name):
            number += 1
            name = f"{_DAMAGED}{checkpoint.name}.{number}"
        self.place.rename(checkpoint.name, name)
        return self.place / name

    def sweep(self) -> None:
        """Remove what a kill in the middle of a save left behind."""
        self.place.sweep((_CHECKPOINT, _BEST))


def reached(checkpoint: str) -> Reached | None:
    """Return the position of a checkpoint, by its name; None for another folder."""
    name = _COMMITTED.fullmatch(checkpoint)
    return Reached(int(name[1]) - 1, int(name[2]), int(name[3])) if name else None
