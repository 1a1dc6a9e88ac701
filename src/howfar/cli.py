"""The command line: arguments in, library calls out.

Each command is a function in its own module of `howfar.commands`, which imports what it needs when called, so that
`howfar --help` does not wait for PyTorch.
"""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer

from howfar.commands import corpus, explore, graft, live, measure, models, report, show, study, train
from howfar.commands.groups import Command, Group
from howfar.commands.output import accept_all_characters, drop_output, finish_printing, printing, say
from howfar.errors import HowFarError
from howfar.files import ADVICE, FULL
from howfar.foreign import first_line

_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?")


app = typer.Typer(
    cls=Group,
    help="How far apart does a language model think its tokens are?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

app.command(cls=Command, context_settings={"allow_extra_args": True})(show.show)
for command in (
    models.models,
    explore.explore,
    live.live,
    live.export,
    measure.measure,
    report.report,
    train.train,
    train.recipes,
    graft.graft,
):
    app.command(cls=Command)(command)
app.add_typer(corpus.app, name="corpus", cls=Group)
app.add_typer(study.app, name="study")

_debug = False


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"howfar {version('howfar')}")
        raise typer.Exit


def _set_debug(asked: bool) -> None:
    global _debug
    _debug = asked


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_set_debug, is_eager=True)
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """How far apart does a language model think its tokens are?"""


def main() -> None:
    """Run the command line; an error prints one line on standard error and exits with code 2."""
    _set_debug(False)
    accept_all_characters()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings are for programmers
    try:
        code = app(prog_name="howfar", standalone_mode=False)  # otherwise Typer frames its messages
        finish_printing()
        sys.exit(code)
    except HowFarError as error:
        _fail(error, str(error))
    except BrokenPipeError:
        drop_output()  # the reader has closed the pipe
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno and error.filename:  # not yet turned into one of ours
            advice = ADVICE.get(error.errno, "choose another place, or make it readable and writable")
            _fail(error, f"{error.filename} cannot be used ({error.strerror}); {advice}")
        if isinstance(error, OSError) and error.errno in FULL:  # a stream, of which standard output is likeliest
            _fail(error, f"nothing more can be written ({error.strerror}); make room, or send the output elsewhere")
        if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which may not be imported
            _fail(
                error,
                f"the device has too little memory ({first_line(error)}); give a shorter text or smaller sample, "
                "--dtype bfloat16, or --device cpu",
            )
        if hasattr(error, "format_message"):  # Typer's: an option or argument is wrong
            _fail(error, _usage(error))
        _fail(error, f"{type(error).__name__}: {error} (run `howfar --debug …` for the traceback)")


def _usage(error: Any) -> str:
    """A message about wrong arguments, and where to read about them."""
    said = error.format_message().replace("Value error, ", "").removesuffix(".")
    if not said:  # there were no arguments, and the help is printed
        sys.exit(2)
    path = error.ctx.command_path if getattr(error, "ctx", None) else "howfar"
    name = getattr(error, "option_name", "")
    meant = next((word for word in sys.argv[1:] if name and word.startswith(name)), "")
    if meant and not _OPTION.fullmatch(meant):
        return f"{said}; put arguments that begin with a dash after --: {path} -- {shlex.quote(meant)}"
    if name == "--debug":
        return f"{said}; it comes before the command: `howfar --debug …`"
    return f"{said}; see `{path} --help`"


def _fail(error: Exception, message: str) -> NoReturn:
    if _debug:
        raise error
    with printing():
        pass  # so that the command's output comes first
    say(f"error: {message}", err=True)
    sys.exit(2)
