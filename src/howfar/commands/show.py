"""`howfar show`: how a model spaces a text."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from howfar.commands.options import Device, DType, Mark, placed
from howfar.commands.output import console, printing, say, say_json
from howfar.errors import OutputError, TextError
from howfar.files import check_writable, write_file
from howfar.imports import imports_for_good
from howfar.inputs import read_file
from howfar.progress import progress_bars

if TYPE_CHECKING:
    from howfar.reading import Trace

DEFAULT_OUTPUT = Path("howfar.html")
MOST_CHARACTERS = 50_000  # in a picture; more would make a browser slow
LONG = 100_000  # characters from which a progress bar is shown

PLAIN = (
    "Plain positions: every step is 1, and colours show {colour}. Try --color {other}, `howfar explore {model}` "
    "(what if a gap were wider?), `howfar measure sensitivity -m {model} --text FILE` (which gaps matter?)"
)


Scale = Literal["layer-mean", "raw", "shared", "contrast"]
Colour = Literal["gap", "rank", "surprisal", "entropy", "kind", "difference"]
Rows = Literal["auto", "all"]


def show(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text from a UTF-8 file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A bundled model, a folder or a Hub id. [default: bilingual-per-layer]",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help=f"Picture to write: .html, .svg, .png or .pdf. [default: {DEFAULT_OUTPUT}]"
        ),
    ] = None,
    scale: Annotated[
        Scale, typer.Option(help="Unit of the steps; contrast stretches all rows to the same spread.")
    ] = "layer-mean",
    colour: Annotated[
        Colour | None,
        typer.Option(
            "--colour", "--color", help="Meaning of the colours. [default: gap; of two models or texts, difference]"
        ),
    ] = None,
    rows: Annotated[Rows, typer.Option(help="Fold nearly even rows into one, or show all.")] = "auto",
    beside_model: Annotated[str | None, typer.Option(help="Another model to compare with.")] = None,
    beside_text: Annotated[str | None, typer.Option(help="Another text to compare with.")] = None,
    layer: Annotated[int | None, typer.Option(help="Show one layer.")] = None,
    head: Annotated[int | None, typer.Option(help="Show one head, for a model with positions per head.")] = None,
    mark: Mark = None,
    device: Device = None,
    dtype: DType = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the numbers as JSON, and draw nothing unless -o is given.")
    ] = False,
) -> None:
    """Show how a model spaces a text.

    Example: howfar show "Marie Curie won two Nobel Prizes." -o curie.svg

    Writes a picture and prints the spacing of each layer.
    """
    from howfar.charts.saving import file_format
    from howfar.charts.spacing import spacing
    from howfar.charts.spacing.terminal import TerminalView

    if context.args:
        words = " ".join([text or "", *context.args])
        raise TextError(f'show takes one text, got several words; put quotes around them: howfar show "{words}"')
    passage = _read(text, file)
    drawn = None if as_json and output is None else output or DEFAULT_OUTPUT
    if drawn is not None:
        _check_picture([passage, beside_text or ""], drawn)
    where = placed(device, dtype)
    if model is None:
        model = _default_model()
    traced = _trace(passage, model, mark, where)
    compared = beside_model is not None or beside_text is not None
    other = passage if beside_text is None else beside_text
    beside = _trace(other, beside_model or model, mark, where) if compared else None
    picture = None
    is_plain = traced.config is None and beside is None
    if is_plain and colour is None:
        colour = "surprisal"  # all gaps are equal
    if drawn is not None or not as_json:
        picture = spacing(traced, beside=beside, layer=layer, head=head, scale=scale, rows=rows, colour=colour)
    if picture is not None and drawn is not None:
        write_file(drawn, picture.render(file_format(drawn)))
    with printing() as check_printed:
        if as_json:
            numbers = _numbers(traced, layer, head)
            say_json(numbers if beside is None else {**numbers, "beside": _numbers(beside, layer, head)})
        elif picture is not None:
            console().print(TerminalView(picture.content, picture.view))
    if is_plain:
        other_colour = "surprisal" if colour == "entropy" else "entropy"
        name = shlex.quote(traced.model_name)
        say(PLAIN.format(model=name, colour=colour, other=other_colour), err=as_json)
    if drawn is not None:
        say(f"The picture is in {drawn}", err=as_json)
    check_printed()


def _read(text: str | None, file: Path | None) -> str:
    """The text, from whichever source is given."""
    from howfar.text.decoding import decode

    if (text is None) == (file is None):
        raise TextError('show needs one text; give it in quotes, as in howfar show "Some text.", or --file FILE, or -')
    try:
        if file is not None:
            return decode(read_file(file, pipes=True), file, error=TextError)
        if text == "-" and sys.stdin is None:
            raise TextError("standard input is closed; give the text in quotes, or --file FILE")
        if text == "-":
            return decode(sys.stdin.buffer.read(), "standard input", error=TextError)
    except OSError as error:
        raise TextError(f"{file} cannot be read ({error.strerror}); give a text file") from error
    return _as_typed(str(text))


def _as_typed(text: str) -> str:
    """A command-line text, repaired if the locale (`C`, for example) knows no characters beyond ASCII."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def _check_picture(texts: Sequence[str], output: Path) -> None:
    """Check that the picture is possible before any work."""
    from howfar.charts.saving import file_format

    file_format(output)
    check_writable(output)
    if (longest := max(map(len, texts))) > MOST_CHARACTERS:
        raise OutputError(
            f"the text has {longest:,} characters, but a picture holds {MOST_CHARACTERS:,}; "
            "give a part of it, or --json for the numbers of all of it"
        )


def _default_model() -> str:
    """The model that reads if none is named; says so."""
    with imports_for_good():
        from howfar.models.bundled import DEFAULT_NAME

    typer.echo(f"Read by {DEFAULT_NAME}; --model names another", err=True)
    return DEFAULT_NAME


def _trace(text: str, model: str, mark: str | None, where: dict[str, Any]) -> Trace:
    with imports_for_good():
        from howfar.models.loading import choose_mark, load
        from howfar.reading import trace
        from howfar.text.marks import name_with_mark

    loaded = load(model, **where)
    if found := choose_mark(loaded, mark):
        say(f"Read by {name_with_mark(model, found)}" + ("" if mark else "; --mark names another"), err=True)
    if len(text) < LONG:
        return trace(loaded, text)
    with progress_bars() as begin:
        return trace(loaded, text, progress=begin("Reading"))


def _numbers(traced: Trace, layer: int | None, head: int | None) -> dict[str, object]:
    """The picture's data as plain values: all layers and heads, or the chosen one."""
    from howfar.charts.rows import check_selection

    check_selection(traced, layer, head)
    layers = slice(None) if layer is None else [traced.layers.index(layer)]
    heads = slice(None) if head is None else [head]
    return {
        "text": traced.text,
        "model": traced.model_name,
        "layers": list(traced.layers) if layer is None else [layer],
        "token_ids": traced.token_ids.tolist(),
        "token_bytes": traced.token_bytes.tolist(),
        "increments": traced.increments[layers][:, heads].tolist(),
        "positions": traced.positions[layers][:, heads].tolist(),
        "surprisal_nats": traced.surprisal_nats.tolist(),
        "entropy_nats": traced.entropy_nats.tolist(),
    }
