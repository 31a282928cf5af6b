"""Why a search failed, in a message that counts equal reasons."""

from collections import defaultdict

from orchestrator.job.short_names import short_names
from orchestrator.search.records import TrialState
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial


def too_many_failed(standing: Standing, most: int) -> str:
    """Return why a search ends of which so many trials have failed; nothing with fewer."""
    failed = standing.counts.get(TrialState.FAILED, 0)
    if failed < most:
        return ""
    return (
        f"{failed} of {len(standing.trials)} trials failed, search.max_failed = {most} allows no "
        f"more. {_reasons(standing)}"
    )


def nothing_finished(standing: Standing) -> str:
    """Return that no trial has finished, and why; nothing if one has."""
    if standing.counts.get(TrialState.FINISHED):
        return ""
    counts = ", ".join(f"{count} {state}" for state, count in standing.counts.items())
    return f"No trial finished ({counts or 'none was tried'}). {_reasons(standing)}".rstrip()


def _reasons(standing: Standing) -> str:
    """Return each reason of a failure once, after the first trial that had it."""
    found: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in standing.ended:
        if trial.state == TrialState.FAILED:
            found[trial.reason].append(trial)
    return "; ".join(
        f"{_described(trials[0])}: {reason}" + (f" (x{len(trials)})" if len(trials) > 1 else "")
        for reason, trials in found.items()
    )


def _described(trial: Trial) -> str:
    short = short_names(trial.settings)
    values = ", ".join(f"{short[key]} {_shown(value)}" for key, value in trial.settings.items())
    return f"{trial.name} ({values})"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
