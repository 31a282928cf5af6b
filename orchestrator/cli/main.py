"""The `orch` command: its table of commands, and what its errors look like."""

import gc
import io
import logging
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import click

from orchestrator import __version__
from orchestrator.errors import OrchError
from orchestrator.job.uri import masked

COMMANDS = {
    "submit": "orchestrator.cli.submit:submit",
    "resume": "orchestrator.cli.submit:resume",
    "list": "orchestrator.cli.overview:list_runs",
    "status": "orchestrator.cli.status:status",
    "compare": "orchestrator.cli.compare:compare",
    "logs": "orchestrator.cli.logs:logs",
    "stacks": "orchestrator.cli.stacks:stacks",
    "wait": "orchestrator.cli.wait:wait",
    "stop": "orchestrator.cli.ending:stop",
    "down": "orchestrator.cli.ending:down",
    "sync": "orchestrator.cli.sync:sync",
    "data": "orchestrator.cli.data:data",
    "analyze": "orchestrator.cli.analyze:analyze",
    "show": "orchestrator.cli.examine:show",
    "validate": "orchestrator.cli.examine:validate",
    "sizes": "orchestrator.cli.sizes:sizes",
    "subnet": "orchestrator.cli.subnet:subnet",
    "doctor": "orchestrator.cli.doctor:doctor",
    "completion": "orchestrator.cli.completion:completion",
}

INTERRUPTED = 130

FEW_COLLECTIONS = 100_000
"""So many new objects until garbage is looked for: to look took a tenth of the time of imports."""


class Message(click.ClickException):
    """An error of orch in click's form: the message alone, and its own exit code."""

    def __init__(self, error: OrchError) -> None:
        super().__init__(str(error))
        vars(self)["exit_code"] = error.exit_code  # click declares one for the whole class

    def show(self, file: object = None) -> None:
        """Print the message on standard error."""
        click.echo(masked(self.message), err=True)


class Warnings(logging.Handler):
    """Prints warnings of the packages below, each once, on standard error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning that was not printed before."""
        message = record.getMessage()
        if message not in self._printed:
            self._printed.add(message)
            click.echo(f"warning: {masked(message)}", err=True)


class Commands(click.Group):
    """The commands of the table, imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn its warnings and errors into messages and exit codes."""
        handler = Warnings()
        logging.getLogger("orchestrator").addHandler(handler)
        _lend_a_home()
        try:
            return super().invoke(ctx)
        except OrchError as error:
            raise Message(error) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Message(OrchError(_what_the_system_refused(error))) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        finally:
            logging.getLogger("orchestrator").removeHandler(handler)


def _lend_a_home() -> None:
    """Let libraries use orch's own folder where there is no home folder, as in some containers.

    MLflow cannot even be imported without one. Processes started from here inherit the setting.
    """
    own = os.environ.get("ORCH_HOME", "")
    try:
        Path.home()
    except RuntimeError:
        if own and not own.startswith("~"):
            os.environ["HOME"] = str(Path(own).absolute())


def _what_the_system_refused(error: OSError) -> str:
    """Return which file or folder caused an error, and why."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"orch cannot continue: {error.filename}: {reason}."
    if not Path().exists():
        return "orch cannot continue: the current folder has been removed."
    return f"orch cannot continue: {reason}."


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="orch")
def cli() -> None:
    """Train one set of weights that runs at any bit-width, here or on a Ray cluster.

    \b
    A first job:
      orch submit jobs/quickstart.yaml --follow

    JOB is a job's name (its latest run), a run's id, a unique beginning of either, or `last`.
    """


def main() -> None:
    """Run the command line. A traceback means a bug, and says so.

    Characters that the terminal's encoding lacks are printed as escapes.
    """
    gc.set_threshold(FEW_COLLECTIONS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        click.echo(masked(traceback.format_exc()), err=True, nl=False)
        click.echo(
            f"This is a bug in orch {__version__}, not in what you did. Please report it with "
            "the lines above.",
            err=True,
        )
        sys.exit(1)
