"""orch completion: let the shell complete commands, job files and runs."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.runs.registry import Record

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL.

    \b
    Examples:
      eval "$(orch completion bash)"        in ~/.bashrc
      eval "$(orch completion zsh)"         in ~/.zshrc
      orch completion fish > ~/.config/fish/completions/orch.fish
    """
    from click.shell_completion import get_completion_class

    from orchestrator.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    source = kind(cli, {}, "orch", "_ORCH_COMPLETE")
    click.echo(source.source_template % source.source_vars())


def complete_job_file(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the job files, and the folders on the way to one, that begin with the given text."""
    from pathlib import Path

    given = Path(incomplete)
    folder, begin = (given, "") if incomplete.endswith("/") else (given.parent, given.name)
    if not folder.is_dir():
        return []
    entries = (
        sorted(folder.iterdir()) if incomplete else [*Path("jobs").glob("*"), *folder.iterdir()]
    )
    found = (entry for entry in entries if entry.name.startswith(begin))
    return [
        f"{entry}/" if entry.is_dir() else str(entry)
        for entry in found
        if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix in (".yaml", ".yml"))
    ]


def complete_run(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names and run ids that begin with the given text."""
    import logging

    from orchestrator.runs import registry

    logging.getLogger("orchestrator").addHandler(logging.NullHandler())  # no messages on the prompt
    records = registry.load_all()
    words = dict.fromkeys(
        ["last", *(r.name for r in records), *(r.run for r in records)] if records else []
    )
    trials = [trial for record in records if record.is_search for trial in _trials(record)]
    begun = [trial for trial in trials if trial.startswith(incomplete) and "." in incomplete]
    return [word for word in words if word.startswith(incomplete)] + begun


def complete_cluster(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names of clusters that begin with the given text."""
    from orchestrator.cluster import named

    return [name for name in named.names() if name.startswith(incomplete)]


def _trials(search: "Record") -> list[str]:
    """Return the runs of a search that has not ended, as far as its folder is seen here at once."""
    from orchestrator.job.paths import in_bucket

    if search.last.outcome or in_bucket(search.run_dir):
        return []
    return [folder.name for folder in search.search_folder.runs()]
