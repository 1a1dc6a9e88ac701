"""The state of the page as a value that a link stores and restores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args
from urllib.parse import urlencode

from howfar.charts.rows import Scale
from howfar.charts.spacing.colours import Colour
from howfar.errors import ConfigError
from howfar.explorer.inference import check_text
from howfar.explorer.what_if import FACTORS

DETAILS = ("What if", "Attention", "Numbers", "Context")
SCALES: tuple[str, ...] = get_args(Scale)
COLOURS: tuple[str, ...] = tuple(colour for colour in get_args(Colour) if colour != "difference")  # for one text
_MODELS = ("model", "beside")  # two parameters: marimo's page keeps one value of each
LONGEST_LINK = 8_000  # characters; browsers and proxies may refuse more


@dataclass(frozen=True)
class View:
    """All choices of a visitor.

    Attributes:
        text: The text.
        models: One model or two, by name.
        at: The selected character, counted from 0.
        scale: As for `howfar.spacing`.
        colour: As for `howfar.spacing`.
        layer: The layer of the details; if None, all layers (or the first, if only one can be shown).
        detail: One of `DETAILS`.
        factor: What the selected gap is multiplied by.
        plain: Whether the layer advances by plain +1 instead.
        second_text: A text to compare with, read by the same model; empty if there is none.
    """

    text: str
    models: tuple[str, ...]
    at: int = 0
    scale: str = "layer-mean"
    colour: str = "gap"
    layer: int | None = None
    detail: str = DETAILS[0]
    factor: float = 1.0
    plain: bool = False
    second_text: str = ""

    def link(self) -> str | None:
        """The query of the page's address that restores this view; None if the text is too long."""
        default = View(self.text, self.models)
        said: dict[str, Any] = {"text": self.text, **dict(zip(_MODELS, self.models, strict=False))}
        said |= {
            name: int(value) if isinstance(value, bool) else value
            for name, value in asdict(self).items()
            if name not in ("text", "models") and value != getattr(default, name)
        }
        link = "?" + urlencode(said)
        return link if len(link) <= LONGEST_LINK else None


def view_from_link(query: Mapping[str, str | Sequence[str]], default: View, models: Sequence[str]) -> View:
    """Read a link and validate its values.

    Args:
        query: The parameters of the page's address; unknown ones are ignored.
        default: Values for missing parameters.
        models: The page's models.

    Raises:
        ConfigError: A value is one that the page never writes.
        TextError: The text is too long.
    """
    said: dict[str, str] = {}
    for name in sorted(query.keys() & {*_READERS, *_MODELS}):
        value = query[name]
        values = [value] if isinstance(value, str) else list(value)
        if len(values) != 1:
            raise ConfigError(f"the link gives {name} {len(values)} times; give it once")
        said[name] = values[0]
    chosen = {name: _READERS[name](value) for name, value in said.items() if name in _READERS}
    if any(name in said for name in _MODELS):
        chosen["models"] = _models([said[name] for name in _MODELS if name in said], models)
    if "text" in chosen:
        check_text(chosen["text"])
    check_text(chosen.get("second_text", ""))
    return replace(default, **chosen)


def _choice(name: str, known: Sequence[str]) -> Any:
    def read(value: str) -> str:
        if value not in known:
            raise ConfigError(f"the link's {name} is {_short(value)}; it must be one of {', '.join(known)}")
        return value

    return read


def _number(name: str, kind: type, least: float, most: float) -> Any:
    def read(value: str) -> Any:
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise ConfigError(f"the link's {name} is {_short(value)}; it must be a number from {least:,} to {most:,}")
        return number

    return read


def _factor(value: str) -> float:
    found = next((factor for factor in FACTORS if value == str(factor)), None)
    if found is None:
        raise ConfigError(
            f"the link's factor is {_short(value)}; it must be a multiple of {FACTORS[1]} "
            f"from {FACTORS[0]} to {FACTORS[-1]}"
        )
    return found


def _models(values: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    if not set(values) <= set(models) or not 1 <= len(set(values)) <= 2:
        raise ConfigError(
            f"the link asks for {_short(', '.join(values))}; this page shows one or two of {', '.join(models)}"
        )
    return tuple(dict.fromkeys(values))


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")


_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "second_text": str,
    "at": _number("selected character", int, 0, 10**6),
    "scale": _choice("scale", SCALES),
    "colour": _choice("colour", COLOURS),
    "layer": _number("layer", int, 0, 10**4),
    "detail": _choice("detail", DETAILS),
    "factor": _factor,
    "plain": lambda value: bool(_number("plain", int, 0, 1)(value)),
}
