"""The events of a search, from how it stands: for its log, and for those who look at it."""

from orchestrator.event_parts import TrialRow
from orchestrator.events import Searching, TrialEnded
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial


def searching(standing: Standing, now: float, next_within: float = 0.0) -> Searching:
    """Return how far an opened search is. next_within: seconds until the next such event."""
    opened, best = standing.opened, standing.best
    assert opened is not None
    trials = standing.trials.values()
    return Searching(
        metric=opened.metric,
        trials=opened.trials,
        ended=ended(standing),
        living=tuple(row(trial) for trial in trials if not trial.state.ended),
        failed=tuple(row(trial) for trial in trials if trial.state == "failed"),
        best=row(best) if best else None,
        epochs=opened.epochs,
        epochs_done=standing.epochs,
        epochs_planned=opened.trials * opened.seeds * opened.epochs,
        worker_hours=standing.worker_seconds(now) / 3600,
        eta_seconds=standing.eta_seconds(now),
        next_within=next_within,
    )


def trial_ended(standing: Standing, trial: str) -> TrialEnded:
    """Return the end of a trial of an opened search."""
    assert standing.opened is not None
    return TrialEnded(
        metric=standing.opened.metric,
        epochs=standing.opened.epochs,
        row=row(standing.trials[trial]),
    )


def ended(standing: Standing) -> dict[str, int]:
    """Return how many trials have ended, by their state."""
    return {state.value: count for state, count in standing.counts.items() if state.ended}


def row(trial: Trial) -> TrialRow:
    """Return a trial in a few words."""
    return TrialRow(
        trial=trial.name,
        state=trial.state.value,
        settings=trial.settings,
        epoch=trial.epoch,
        value=trial.value,
        spread=trial.spread,
        reason=trial.reason,
    )
