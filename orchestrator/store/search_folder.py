"""The folder of a search, which is a run's folder with more in it.

search.jsonl                 what was decided and reported, a JSON document on each line
trials/NAME.t007             the run folder of a trial; of one of its seeds: NAME.t007s1
trials.md, trials.csv        the table of trials
page.md                      the text of the search's page in MLflow
best.yaml                    the job of the best trial, ready to submit
figures/                     each figure as PNG, and the data behind it as CSV
"""

from dataclasses import dataclass

from orchestrator.store.folder import Folder, Growing
from orchestrator.store.run_folder import RunFolder, WholeFile


@dataclass(frozen=True)
class SearchFolder:
    """The files of a search, by name. run: the folder as that of the search's own run."""

    run: RunFolder

    def __str__(self) -> str:
        return str(self.run)

    @property
    def journal(self) -> Growing:
        """What was decided and reported; the only file of a search that grows."""
        return self.run.place.growing("search.jsonl")

    @property
    def table(self) -> WholeFile:
        """The table of trials in Markdown."""
        return self.run.file("trials.md")

    @property
    def rows(self) -> WholeFile:
        """The table of trials as CSV."""
        return self.run.file("trials.csv")

    @property
    def best(self) -> WholeFile:
        """The job of the best trial, ready to submit."""
        return self.run.file("best.yaml")

    @property
    def page(self) -> WholeFile:
        """The text of the search's page in MLflow, in Markdown."""
        return self.run.file("page.md")

    @property
    def figures(self) -> Folder:
        """The folder of the figures."""
        return self.run.place / "figures"

    @property
    def trials(self) -> Folder:
        """The folder of the runs' folders."""
        return self.run.place / "trials"

    @classmethod
    def above(cls, run: RunFolder) -> "SearchFolder | None":
        """Return the search that the folder of a run is in; None for any other run."""
        trials = run.place.parent
        search = trials.parent
        is_in = trials.name == "trials" and run.name.startswith(f"{search.name}.")
        return cls(RunFolder(search)) if is_in else None

    def called(self, run: RunFolder) -> str:
        """Return what a run of the search is called in it, such as t007 or t007s1."""
        return run.name.removeprefix(f"{self.run.name}.")

    def runs(self) -> list[RunFolder]:
        """Return the folders of all runs that have begun, by name; none where none are seen.

        Raises StorageTrouble where nobody can say.
        """
        return [RunFolder(self.trials / name) for name in self.trials.begun(f"{self.run.name}.t")]

    def of_run(self, name: str) -> RunFolder:
        """Return the folder of a run of the search, such as t007 or t007s1."""
        return RunFolder(self.trials / f"{self.run.name}.{name}")
