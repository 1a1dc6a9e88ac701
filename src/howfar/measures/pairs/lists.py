"""Lists of multi-word entities: the bundled ones, and users' own CSV files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from howfar.errors import ConfigError
from howfar.inputs import read_file
from howfar.measures.choices import Language
from howfar.text.classes import is_chinese_character
from howfar.text.decoding import decode

COLUMNS = ("first", "second", "type")
LANGUAGES = get_args(Language)


@dataclass(frozen=True)
class Pair:
    """Two adjacent parts of a text: those of an entity, or of a control."""

    first: str
    second: str
    type: str  # the kind of entity, for example `person` or `place`

    @property
    def separator(self) -> str:
        """The text between the parts: a space, or nothing between Chinese characters."""
        return "" if is_chinese_character(self.first[-1]) and is_chinese_character(self.second[0]) else " "

    @property
    def text(self) -> str:
        """Both parts as written."""
        return self.first + self.separator + self.second


def families(pairs: Sequence[Pair], controls: Sequence[Pair] = ()) -> NDArray[np.int64]:
    """The number of each pair's family, `[pair]`: pairs that share a part, directly or through others.

    The increment in *World War* is like that in *World Bank* and the one after *Cold War*, so they are no independent
    cases. Nor are pairs whose controls begin with the same word.

    Args:
        controls: What each pair is compared with, if that is not made of the same words.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num, shared = len(pairs), [[pair.first for pair in pairs], [pair.second for pair in pairs]]
    shared += [[pair.first for pair in controls]] if controls else []
    words = np.concatenate(
        [np.unique(of_pairs, return_inverse=True)[1] + num * (1 + i) for i, of_pairs in enumerate(shared)]
    )
    links = coo_array((np.ones(len(words)), (np.tile(np.arange(num), len(shared)), words)), shape=(num * 4,) * 2)
    return np.asarray(connected_components(links, directed=False)[1][:num], dtype=np.int64)


def bundled_pairs(language: str) -> list[Pair]:
    """The bundled list of entities.

    Raises:
        ConfigError: There is no list for the language.
    """
    if language not in LANGUAGES:
        raise ConfigError(
            f"there is no list of pairs for {language!r}; choose from {', '.join(LANGUAGES)} or give a CSV file"
        )
    source = resources.files("howfar.measures.pairs") / "data" / f"pairs_{language}.csv"
    return _parse(source.read_text(encoding="utf-8"), f"the {language} list")


def read_pairs(path: str | Path) -> list[Pair]:
    """Read a list of entities from a CSV file with the columns `first`, `second` and `type`.

    Raises:
        ConfigError: The file cannot be read, lacks a column, or has an empty or repeated entry.
    """
    try:
        text = decode(read_file(path, pipes=True), Path(path), error=ConfigError)
    except OSError as error:
        raise ConfigError(f"the pairs in {path} cannot be read ({error}); give a CSV file in UTF-8") from error
    return _parse(text, str(path))


def _parse(text: str, name: str) -> list[Pair]:
    heading = text.partition("\n")[0].lower()
    delimiter = max(",;\t", key=heading.count)  # spreadsheets write semicolons if numbers have decimal commas
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, delimiter=delimiter)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(f"{name} has no column {missing[0]!r}; its first line must be {','.join(COLUMNS)}")
    pairs = []
    for row in reader:
        first, second, kind = (" ".join((row[column] or "").split()) for column in COLUMNS)
        if not (first and second and kind):
            raise ConfigError(f"{name}, line {reader.line_num}: {row} is incomplete; give {', '.join(COLUMNS)}")
        pairs.append(Pair(first, second, kind))
    repeated = [text for text, count in Counter(pair.text for pair in pairs).items() if count > 1]
    if repeated:
        raise ConfigError(f"{name} has {repeated[0]!r} more than once; keep one of them")
    if not pairs:
        raise ConfigError(f"{name} has no pairs; give at least one line below {','.join(COLUMNS)}")
    return pairs
