"""Find the checkpoint to continue from; set damaged ones aside."""

from orchestrator.errors import CheckpointMismatch
from orchestrator.events import warn
from orchestrator.run_facts import facts_of
from orchestrator.store.checkpoint import damage
from orchestrator.store.folder import Folder
from orchestrator.store.run_folder import RunFolder


def latest(run: RunFolder) -> Folder | None:
    """Return the newest intact checkpoint; None for a run that has not written one yet.

    Damaged ones are named in the log and kept under another name. The best epoch's copy is the
    last resort. Raises CheckpointMismatch rather than restart a run that had made progress, and
    StorageTrouble where nobody can say what there is.
    """
    damaged: list[str] = []
    for folder in run.to_continue_from():
        fault = damage(folder)
        if fault is None:
            if damaged:
                warn(f"Continuing from {folder.name}, the newest intact checkpoint.")
            return folder
        aside = run.set_aside(folder)
        damaged.append(f"{folder.name}: {fault}")
        warn(f"{folder} is damaged: {fault}. It is kept as {aside.name}.")
    _refuse_to_begin_again(run, damaged)
    return None


def _refuse_to_begin_again(run: RunFolder, damaged: list[str]) -> None:
    signs = damaged or _signs_of_progress(run)
    if signs:
        raise CheckpointMismatch(
            f"{run} holds no intact checkpoint to continue from ({'; '.join(signs)}). Put one back "
            "if there is a copy; to start over, `orch submit` the job as a new run."
        )


def _signs_of_progress(run: RunFolder) -> list[str]:
    """Return the signs that there were checkpoints, although there are none now."""
    others = run.unusable()
    signs = [f"unusable: {', '.join(others)}"] if others else []
    facts = facts_of(run)
    epoch = facts.progress.epoch if facts.progress else 0
    if facts.evaluated or epoch:
        signs.append(f"{run.facts.name}: the run had come to epoch {epoch + 1}")
    elif run.metrics.exists():
        signs.append(f"{run.metrics}: an epoch was recorded")
    return signs
