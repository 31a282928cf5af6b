"""The text at the top of a search's page in MLflow."""

from collections.abc import Sequence

from orchestrator.search.standing import Standing
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.run import comparison_of, remembered_run

MOST_COMPARED = 20
"""How many runs MLflow's page compares readably."""


def best_runs(standing: Standing) -> list[str]:
    """Return the runs of the best trials, such as t007, the best first."""
    best = standing.ranked(standing.trials.values())[:MOST_COMPARED]
    return [run.name for trial in best for run in standing.runs_of(trial.name)]


def page_of(search: SearchFolder, runs: Sequence[str]) -> str:
    """Return the table of the best trials and a link that compares their runs, in Markdown."""
    records = [known for run in runs if (known := remembered_run(search.of_run(run)))]
    links = [f"[Compare the best trials]({comparison_of(records)})"] if records else []
    return "\n\n".join([search.table.read().strip(), *links, f"`{search.run.name}` in `{search}`"])
