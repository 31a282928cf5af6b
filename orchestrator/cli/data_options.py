"""What the commands of `orch data` have in common: the job, and how many processes work."""

import click

from orchestrator.cli.completion import complete_job_file

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
