"""What the commands of `orch data` have in common: the job, and how many processes work."""

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.completion import complete_job_file


class PathHere(click.Path):
    """A path of this machine, as a Path: a URI would be taken for one, and lose a slash."""

    def __init__(self, **given: Any) -> None:
        super().__init__(path_type=Path, **given)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Fails for a URI."""
        if "://" in str(value):
            self.fail(f"{value!r} is no path of this machine.", param, ctx)
        return super().convert(value, param, ctx)


job_argument = click.argument("job_name", metavar="JOB|FILE.yaml", shell_complete=complete_job_file)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the job."
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="How many work side by side here; as many as there are cores, if it is worth it.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
