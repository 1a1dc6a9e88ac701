"""The command line: arguments in, library calls out.

Each command is a function of its module in `howfar.commands`, which imports what it needs when it is called, so that
`howfar --help` does not wait for PyTorch.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from howfar.commands import corpus, explore, graft, measure, models, report, show, train
from howfar.errors import HowFarError

app = typer.Typer(
    help="How far apart does a language model think its tokens are?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

app.command()(show.show)
app.command()(models.models)
app.command()(explore.explore)
app.command()(measure.measure)
app.command()(report.report)
app.command()(train.train)
app.command()(train.recipes)
app.command()(graft.graft)
app.add_typer(corpus.app, name="corpus")


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"howfar {version('howfar')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and stop.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """How far apart does a language model think its tokens are?"""
    context.obj = debug


def main() -> None:
    """Run the command line; a person's mistake is one line on standard error and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False))  # else it would frame what is wrong with an option
    except HowFarError as error:
        _fail(error, str(error))
    except BrokenPipeError:
        # Whoever read the output has enough of it; nothing more can be said, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if say := getattr(error, "format_message", None):  # Typer's: an option or argument is wrong
            said = say().replace("Value error, ", "").removesuffix(".")
            if not said:  # there were none, and the help is printed
                sys.exit(2)
            _fail(error, f"{said}; see `howfar … --help`")
        _fail(error, f"{type(error).__name__}: {error} (run `howfar --debug …` for the traceback)")


def _fail(error: Exception, message: str) -> None:
    if "--debug" in sys.argv:
        raise error
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
