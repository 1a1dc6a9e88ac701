"""A claim that is written down before it is measured, and checked afterwards (preregistration).

To look at all layers and places and quote the best one is to make many comparisons. A register names one row of a
measure's table and a bound for its value, with the model, the texts and the seed, before anything is measured. Its
interval then needs no correction. The registered and the measured inputs are compared by content, not by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.files import write_file
from howfar.inputs import read_json
from howfar.measures.declaration import Measure
from howfar.measures.inputs import Inputs
from howfar.models.increments import increment_config
from howfar.models.loading import load, tokenizer_of
from howfar.text.marks import unusual_mark

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

_BOUND = re.compile(r"value\s*([<>])\s*(.+)")
_HOW = 'give column=value, value<NUMBER or value>NUMBER, for example "layer=2"'


@dataclass(frozen=True)
class Claim:
    """A claim about one row of a table."""

    row: Mapping[str, str]  # the row's values by column; empty for none
    above: float | None = None  # the row's whole interval lies above this
    below: float | None = None  # the row's whole interval lies below this

    @classmethod
    def parse(cls, parts: Sequence[str], measure: Measure) -> Claim:
        """Read a claim from its parts, for example `layer=2` and `value<0.45`.

        Raises:
            ConfigError: A part cannot be read or names no column of the measure, or there is no bound.
        """
        row: dict[str, str] = {}
        bounds: dict[str, float] = {}
        columns = [column for column in measure.columns if column.isidentifier()]
        for part in parts:
            if found := _BOUND.fullmatch(part.strip()):
                bounds["below" if found[1] == "<" else "above"] = _number(found[2], part)
                continue
            column, equals, value = part.partition("=")
            if not equals:
                raise ConfigError(f"the claim {part!r} cannot be read; {_HOW}")
            if column not in columns:
                raise ConfigError(f"{measure.name} has no column {column!r}; choose from {', '.join(columns)}")
            row[column] = value
        if not bounds:
            raise ConfigError("the claim does not say what the value will be; add value<NUMBER or value>NUMBER")
        return cls(row, **bounds)

    def verdict(self, table: pl.DataFrame) -> str:
        """What a table shows about the claim, in a sentence.

        Raises:
            ConfigError: The claim matches no row of the table, or several.
        """
        rows = [row for row in table.iter_rows(named=True) if self._is_of(row)]
        if len(rows) != 1:
            raise ConfigError(f"the claim {self} matches {len(rows)} rows; register one that names a single row")
        value, low, high = (rows[0][name] for name in ("value", "low", "high"))
        if value is None or low is None:
            return f"No number for the claim {self}: {rows[0]['note'] or 'too few documents'}"
        above = -math.inf if self.above is None else self.above
        below = math.inf if self.below is None else self.below
        shown = f"{value:.4g} [{low:.4g}, {high:.4g}]"
        if above < low and high < below:
            return f"The claim holds: {self}; found {shown}"
        if high <= above or low >= below:
            return f"The claim is contradicted: {self}; found {shown}"
        return f"The claim is not shown: {self}; found {shown}"

    def _is_of(self, row: Mapping[str, Any]) -> bool:
        return all(("" if row[column] is None else str(row[column])) == value for column, value in self.row.items())

    def __str__(self) -> str:
        parts = [f"{column}={value}" for column, value in self.row.items()]
        bounds = ((">", self.above), ("<", self.below))
        return ", ".join(parts + [f"value{sign}{bound:g}" for sign, bound in bounds if bound is not None])


def register(path: Path, claim: Claim, measure: Measure, model: PreTrainedModel | None, inputs: Inputs) -> None:
    """Write a claim, and the inputs of its measure, to a new file.

    Raises:
        ConfigError: The file exists already.
        OutputError: It cannot be written.
    """
    if path.exists():
        raise ConfigError(f"{path} is already a register; leave out --claim to check it, or name another file")
    content = {"howfar": version("howfar"), "claim": asdict(claim)} | _subject(measure, model, inputs)
    write_file(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def registered(path: Path, measure: Measure, model: PreTrainedModel | None, inputs: Inputs) -> Claim:
    """Read a register's claim, and check that it has the same measure, models, texts and seed.

    Raises:
        ConfigError: It does not, or the file is not a register.
    """
    if not path.exists():
        raise ConfigError(f"there is no file {path}; write it with --register and --claim before anything is measured")
    try:
        content = read_json(path)
        claim = Claim(**content["claim"])
        theirs = {name: content[name] for name in _subject(measure, None, Inputs())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a register ({error!r:.80}); write one with --register and --claim") from None
    for name, ours in _subject(measure, model, inputs).items():
        if theirs[name] != ours:
            raise ConfigError(
                f"{path} was registered for another {name} ({theirs[name]}, not {ours}); "
                "measure what was registered, or register this under another name"
            )
    return claim


def _subject(measure: Measure, model: PreTrainedModel | None, inputs: Inputs) -> dict[str, Any]:
    """The inputs of a measurement, by name, each as a short string."""
    names = [field.name for field in fields(Inputs) if field.name not in ("seed", "origin")]
    given = {name: _content(getattr(inputs, name)) for name in names}
    if inputs.against is not None:  # a model that was trained again has the same name
        given["against"] = " ".join(_weights(load(name)) for name in inputs.against)
    mark = str(None if model is None else unusual_mark(tokenizer_of(model)))
    return {"measure": measure.name, "model": _weights(model), "mark": mark, **given, "seed": str(inputs.seed)}


def _content(value: Any) -> str:
    """A hash of texts, boundaries or pairs; a corpus's own hash; anything else unchanged."""
    if isinstance(value, Corpus):
        return value.hash[:16]
    if value is None or isinstance(value, str | int):
        return str(value)
    return hashlib.sha256("\n".join(map(repr, value)).encode(errors="surrogatepass")).hexdigest()[:16]


def _weights(model: PreTrainedModel | None) -> str:
    """A hash of a model's weights and of the bound of its increments."""
    import torch

    if model is None:
        return "None"
    found = hashlib.sha256()
    if config := increment_config(model):
        found.update(repr(config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _number(text: str, part: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"the claim {part!r} has no number after its sign; {_HOW}")
    return number
