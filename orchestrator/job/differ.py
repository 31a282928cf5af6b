"""Find the settings in which two jobs differ and learn something else."""

from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import job_from_dict
from orchestrator.job.source import Values

FREE = (
    *("name", "cluster", "tracking", "checkpoint", "reference", "evaluate", "output", "code"),
    "notify",
    *("data.root", "data.max_broken_share", "start.weights"),
    "method.teacher_weights",
    *("search.trials", "search.budget", "search.at_once", "search.max_failed"),
)
"""What may change between a run and its continuation: where and how it is carried out and recorded.
The initial weights are in the checkpoint. A run stays in its folder, so `orch resume` refuses
another output; the files of one whose output is named otherwise today still fit. Another number of
workers continues with the same samples in passes of another size; a search goes on with more
trials, or with fewer. One by delta_b needs its reference."""


def differences(old: Values, new: Values) -> list[str]:
    """Return a line "key: old -> new" for each difference that changes what is learned."""
    before, after = _flat(old), _flat(new)
    by_delta_b = "reference" if before.get("search.metric") == "delta_b" else ""
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
        and not (_is_free(key) and key.partition(".")[0] != by_delta_b)
    ]


def check_unchanged(old: Values, new: Values, whose: str) -> None:
    """Raise CheckpointMismatch, with the differences, for a job that would learn something else.

    whose: what the old settings belong to, a run or a checkpoint. A setting that did not exist when
    they were written had today's default.
    """
    if found := differences(_filled(old), new):
        listed = "\n".join(f"  {line}" for line in found)
        raise CheckpointMismatch(
            f"{whose} began with other settings:\n{listed}\n"
            "Undo these changes, or submit the job as a new run."
        )


def _filled(old: Values) -> Values:
    """Return the settings of a job with all of today's, unless they make no job any more."""
    try:
        return job_from_dict(old).as_dict()
    except (ValueError, TypeError):
        return old


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _flat(values: Values, above: str = "") -> Values:
    """Return the values by dotted key; phases are counted from 1."""
    flat: Values = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            value = {str(number): item for number, item in enumerate(value, start=1)}
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
