"""The folder of a page on which models run in the visitor's browser; any web server can serve it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.charts.assets import render
from howfar.charts.glyphs import CHARACTERS, JOINING, SPACE, WHITESPACE
from howfar.charts.spacing.kinds import KINDS, PATTERNS
from howfar.charts.spacing.page import script, styles
from howfar.errors import ConfigError, OutputError
from howfar.files import check_new_folder, whole_folder, write_file
from howfar.live.export import export_onnx
from howfar.live.runtime import FILES, PACKAGE, VERSION, runtime_files
from howfar.models.bundled import named_models
from howfar.models.loading import load
from howfar.reading.reader import Reader
from howfar.text.examples import EXAMPLES, selected_in
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PAGE = resources.files("howfar.live") / "page"
STYLES = ("spacing.css", "live.css")
SCRIPTS = ("latest.js", "words.js", "link.js", "writing.js", "page.js")
"""The page's scripts, whatever runs the model."""
OWN_SCRIPTS = ("content.js", "local.js")
"""Those by which a model runs in the browser."""
COPIED = (*SCRIPTS, *OWN_SCRIPTS, "worker.js", "live.css")
RUNTIME = "runtime"
MODELS = "models"
LIST = "folder.json"
WRITTEN = {*COPIED, "index.html", "spacing.js", "characters.js", "spacing.css", LIST, RUNTIME, MODELS}
"""The names in the folder of a page."""
LISTED = {"models", "examples", "most", "about"}
"""The keys of its list, by which an earlier page is recognised."""
MOST_CHARACTERS = 4000  # of a text; models read less


@dataclass(frozen=True)
class Site:
    """A page that was written.

    Attributes:
        folder: Its folder.
        model_bytes: Size of each model's graph, by name.
        runtime_bytes: Size of the runtime.
        num_bytes: Size of the whole folder.
    """

    folder: Path
    model_bytes: dict[str, int]
    runtime_bytes: int
    num_bytes: int


def write_site(output: str | Path, models: Sequence[str] = (), *, runtime: str | Path | None = None) -> Site:
    """Write a folder of static files; in a browser that opens its `index.html` from a web server, the models run.

    The folder is complete: the page requests nothing from other hosts.

    Args:
        output: The folder to write; it must be new, empty, or one that this wrote before.
        models: Bundled models or folders of byte models with accumulating positions; by default all bundled ones.
        runtime: A folder of the npm package onnxruntime-web; if None, it is downloaded with npm.

    Raises:
        ConfigError: A model cannot run on such a page, or the runtime is not the expected one.
        MissingExtraError: The packages for the export, or npm, are not installed.
        OutputError: The folder cannot be written.
    """
    output = Path(output)
    check_new_folder(output)
    named = named_models(models)
    _check_own(output, [*named.values()])
    loaded = {name: load(source) for name, source in named.items()}
    about = {name: _describe(name, model, index) for index, (name, model) in enumerate(loaded.items())}
    files = runtime_files(runtime)
    with whole_folder(output, replace=True) as folder:
        for name, description in about.items():
            path = folder / description["file"]
            path.parent.mkdir(exist_ok=True)
            description["bytes"] = export_onnx(loaded[name], path).num_bytes
        (folder / RUNTIME).mkdir()
        for name, content in files.items():
            write_file(folder / RUNTIME / name, content)
        for name in COPIED:
            write_file(folder / name, (PAGE / name).read_bytes())
        write_file(folder / "index.html", render("live/page/index.html", styles=STYLES, scripts=scripts(OWN_SCRIPTS)))
        write_file(folder / "spacing.js", script(moving=True))
        write_file(folder / "characters.js", characters())
        write_file(folder / "spacing.css", styles(moving=True))
        listed = {
            "models": list(about.values()),
            "examples": _examples(next(iter(about))),
            "most": MOST_CHARACTERS,
            "about": f"Models: {', '.join(about)}. Runtime: {PACKAGE} {VERSION} (MIT licence). Everything was loaded "
            "from this server, and what you type stays in this page.",
        }
        write_file(folder / LIST, json.dumps(listed, ensure_ascii=False, indent=1) + "\n")
    sizes = {path: path.stat().st_size for path in output.rglob("*") if path.is_file()}
    return Site(
        output,
        {name: int(description["bytes"]) for name, description in about.items()},
        sum(map(len, files.values())),
        sum(sizes.values()),
    )


def _check_own(folder: Path, models: Sequence[str]) -> None:
    """Refuse a folder that holds anything but an earlier page, or one of the models.

    Raises:
        OutputError: It does.
    """
    advice = "write to a new folder, and copy its files to this one"
    for model in models:
        if Path(model).exists() and Path(model).resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{folder} holds the model {model}, which would be deleted; {advice}")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.is_dir() else set()
    own = _files_of_page(folder)
    if found and not own:
        raise OutputError(f"{folder} holds {min(found)} but no {LIST} of a page, and would be replaced; {advice}")
    if others := sorted(found - own):
        raise OutputError(f"{folder} holds {others[0]}, which is not of a page and would be deleted; {advice}")


def _files_of_page(folder: Path) -> set[str]:
    """The paths in the folder of an earlier page, by its list; none if it has no list of ours."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        if set(listed) != LISTED:
            return set()
        return {*WRITTEN, *(f"{RUNTIME}/{name}" for name in FILES), *(model["file"] for model in listed["models"])}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _describe(name: str, model: PreTrainedModel, index: int) -> dict[str, Any]:
    """What the page needs to know about a model.

    Raises:
        ConfigError: It cannot run on the page.
    """
    reader = Reader(model)
    if not is_byte_tokenizer(reader.tokenizer):
        raise ConfigError(
            f"{name} has its own tokenizer, but the page reads bytes; name a bundled model, or one trained on bytes"
        )
    if reader.config is not None and not reader.config.accumulate:
        raise ConfigError(
            f"{name} gives each token a position without regard to order (accumulate = false), so it has no steps "
            "to draw; name a model whose increments accumulate"
        )
    return {
        "name": name,
        "file": f"{MODELS}/{index}.onnx",
        "layers": list(reader.layers),
        "context": reader.context,
        "mark": reader.mark,
        "scope": "plain" if reader.config is None else reader.config.scope,
        "advance": "before" if reader.config is None else reader.config.advance,
    }


def scripts(own: Sequence[str]) -> list[str]:
    """All scripts of the page in their order, with those by which its model runs."""
    return ["spacing.js", "characters.js", *SCRIPTS[:-1], *own, SCRIPTS[-1]]


def characters() -> str:
    """What the page knows of characters, as a script.

    Their kinds and classes, those that are drawn differently, and the letters that join others, which JavaScript's
    regular expressions cannot match.
    """
    import regex

    letters = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    of_kind = {kind: "".join(filter(regex.compile(pattern).match, letters)) for kind, pattern in JOINING.items()}
    whitespace = {text: " " if drawn == SPACE else drawn for text, drawn in WHITESPACE.items()}
    known = {
        "KINDS": KINDS,
        "PATTERN_OF_KIND": PATTERNS,
        "PATTERN_OF_CLASS": CHARACTERS,
        "WHITESPACE": whitespace,
        "JOINING": of_kind,
    }
    return "".join(f"const {name} = {json.dumps(value)};\n" for name, value in known.items())


def _examples(model: str) -> list[dict[str, Any]]:
    """Example texts, read by a model."""
    return [{"name": name, "text": text, "model": model, "slot": selected_in(name)} for name, text in EXAMPLES.items()]
