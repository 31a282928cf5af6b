"""The weights that a job starts from: random, a float model's, or another run's."""

from functools import lru_cache

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.checkpoint_weights import Untrained, check_same_codes, load_checkpoint_weights
from models.float_file import read_state_dict
from models.float_weights import load_float_weights
from models.networks.base import AnyBitNetwork
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.weights import no_weights, unsuitable
from orchestrator.prepare.build import build_method, build_network
from orchestrator.store.checkpoint import damage
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import WEIGHTS, RunFolder, WholeFile

SHOWN = 4
"""How many names a warning lists."""


def start(network: AnyBitNetwork, job: Job, *, key: str = "start.weights") -> str | None:
    """Give a new network the weights that its job starts from.

    key: the setting that names them, as mistakes call it. Returns a warning about what these
    weights do not give the network, if there is any. Raises CheckpointMismatch, in one line, for
    weights that cannot be read or are another network's.
    """
    if job.start.source == "scratch":
        return None
    assert job.start.weights is not None
    load = _load_float if job.start.source == "float" else _load_checkpoint
    try:
        return load(network, weights_file(job.start.weights, job), job)
    except StorageTrouble:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointMismatch(f"{key}: {error}") from error


def is_there(weights: str) -> bool:
    """Return whether there is a file or a folder that a job could start from."""
    place = folder_at(weights)
    return place.is_there() or place.parent.exists(place.name)


def _load_float(network: AnyBitNetwork, file: WholeFile, job: Job) -> str | None:
    weights = _float_weights(file, file.written())
    try:
        left_out = load_float_weights(network, weights)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not left_out:
        return None
    more = f" and {len(left_out) - SHOWN} more" * (len(left_out) > SHOWN)
    named = ", ".join(left_out[:SHOWN])
    return f"Not taken from the float model: {named}{more}. Everything else is."


@lru_cache(maxsize=1)
def _float_weights(file: WholeFile, _written: float | None) -> dict[str, Tensor]:
    """Return what a file holds; the last one is kept, for all trials of a search."""
    with file.here() as path:
        try:
            return read_state_dict(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), str(file))) from error


def _load_checkpoint(network: AnyBitNetwork, file: WholeFile, job: Job) -> str | None:
    if fault := damage(file.folder):
        raise ValueError(f"{file.folder} is damaged: {fault}")
    try:
        with file.here() as path:
            trained = load_file(path)
        borrow = not job.method.trains
        if borrow and (source := _job_of(file)):
            check_codes(network, source)
        untrained = load_checkpoint_weights(network, trained, borrow=borrow)
        if untrained.steps:
            # Steps that are not given start from the weights that are; then those that are given.
            network.start_quantizers()
            load_checkpoint_weights(network, trained, borrow=borrow)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{file}: {error}") from error
    return _not_trained(str(file.folder), untrained, job)


def check_codes(network: AnyBitNetwork, source: Job) -> None:
    """Raise ValueError where a network reads the weights of a job as other codes than it trains.

    Own code of that job may be away, or need numbers to build a network: then nothing is known.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            trained = build_network(source, 1)
    except Exception:
        return
    try:
        check_same_codes(network, trained)
    except ValueError as error:
        most = max(build_method(phase).code_bits for phase in source.phase_jobs())
        raise ValueError(
            f"{error}. Give method.b1 the bits of the codes, {most}, and quantizer.bit_widths the "
            "highest one of that job"
        ) from error


def _job_of(file: WholeFile) -> Job | None:
    """Return the job that trained a checkpoint, None where it is not with it or not readable."""
    try:
        return job_from_dict(yaml.safe_load(RunFolder(file.folder.parent).job.read()))
    except (OSError, yaml.YAMLError, TypeError, ValueError, LookupError, AttributeError):
        return None


def _not_trained(folder: str, untrained: Untrained, job: Job) -> str | None:
    """Return a warning about precisions at which the network of a checkpoint was not trained."""
    warnings: list[str] = []
    if fresh := untrained.wholly:
        warnings.append(
            f"{folder} was not trained at {', '.join(fresh)}: batch norm, clip levels and steps "
            "of these start fresh."
        )
    whole = {point.precision.key for point in job.points if not point.layers}
    if partly := [at for at in untrained.partly if at in whole]:
        warnings.append(
            f"{folder} was trained at {', '.join(partly)} in some layers only: batch norm, clip "
            "levels and steps of the others start as good as fresh."
        )
    return " ".join(warnings) or None


def weights_file(given: str, job: Job) -> WholeFile:
    """Return the file of the weights in a checkpoint's or a run's folder, or the file given.

    Of a run these are the ones whose results it shows: the last, or the best with
    `checkpoint.select: best`. Raises ValueError for a folder that `job` cannot start from.
    """
    place = folder_at(given)
    if not place.is_there():
        if not is_there(given):
            raise ValueError(no_weights(given))
        if job.start.source == "checkpoint":
            raise ValueError(f"{given} is a file; expected is a run, or a checkpoint's folder")
        return WholeFile(place.parent, place.name)
    if place.exists(WEIGHTS):
        return WholeFile(place, WEIGHTS)
    run = RunFolder(place)
    if not run.job.exists():
        raise ValueError(f"{given} is not the folder of a run or a checkpoint.")
    if problem := unsuitable(_setting(run, "method", "name"), job):
        raise ValueError(f"{run.name} was trained by the method {problem}")
    if not run.result.exists():
        raise ValueError(
            f"{run.name} has not finished; `orch resume {run.name}` finishes it, or name one "
            "of its checkpoint folders."
        )
    best = _setting(run, "checkpoint", "select") == "best"
    kept = run.best() if best else run.checkpoints()
    if not kept:
        raise ValueError(f"{given} no longer holds a checkpoint.")
    return WholeFile(kept[-1], WEIGHTS)


def _setting(run: RunFolder, section: str, key: str) -> str:
    """Return a setting of a run. Raises ValueError when its job.yaml is damaged."""
    try:
        return str(yaml.safe_load(run.job.read())[section][key])
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{run.job} is damaged: expected are the settings of a run, with "
            f"{section}.{key}. Name one of the run's checkpoint folders instead."
        ) from error
