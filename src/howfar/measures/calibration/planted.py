"""Synthetic text whose units and probabilities are known by construction.

There are three kinds:

- `marked`: units from a fixed lexicon with a delimiter between them, like words with spaces. Boundaries are visible.
- `predictable`: the same without delimiters, as in Chinese. Only knowledge of the lexicon reveals boundaries.
- `random`: random letters, with boundaries placed at random. There is nothing to find.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from howfar.errors import ConfigError
from howfar.text.segmentation import Segmentation

Kind = Literal["marked", "predictable", "random"]
KINDS: tuple[Kind, ...] = ("marked", "predictable", "random")

LETTERS = "abcdefghijklmnop"
DELIMITER = " "
LENGTHS = (3, 4, 5, 6)
"""Possible numbers of letters in a unit, all equally likely."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlantedDocument:
    """A document and the probabilities of its generator."""

    segmentation: Segmentation  # the text and the beginnings of its units
    entropy_nats: Array  # `[character]`, of the generator's choice of each character, given the text before it
    surprisal_nats: Array  # `[character]`, of its choice; no model can have a lower expected surprisal

    @property
    def text(self) -> str:
        """The text."""
        return self.segmentation.text


@dataclass(frozen=True)
class Lexicon:
    """Equally likely units, none of which is a prefix of another, so that every text has a unique segmentation.

    Raises:
        ConfigError: There are no units, or one is a prefix of another.
    """

    units: tuple[str, ...]

    def __post_init__(self) -> None:
        begun = {unit[:end] for unit in self.units for end in range(1, len(unit))}
        double = next((unit for unit in self.units if unit in begun or self.units.count(unit) > 1), None)
        if not self.units or double is not None:
            raise ConfigError(
                f"a lexicon of {len(self.units)} units in which {double!r} is a prefix of another is ambiguous; "
                "give different units, none of which is a prefix of another"
            )

    @classmethod
    def draw(cls, generator: np.random.Generator, num_units: int, letters: str = LETTERS) -> Lexicon:
        """Draw units of random letters.

        Raises:
            ConfigError: There are too few letters for this many units.
        """
        units: list[str] = []
        begun: set[str] = set()
        for _ in range(1000 * num_units):
            if len(units) == num_units:
                break
            unit = "".join(generator.choice(list(letters), size=generator.choice(LENGTHS)))
            beginnings = {unit[:end] for end in range(1, len(unit) + 1)}
            if unit not in begun and not beginnings.intersection(units):
                units.append(unit)
                begun |= beginnings
        else:
            raise ConfigError(f"{len(letters)} letters do not make {num_units} units; ask for fewer")
        return cls(tuple(units))

    @cached_property
    def probabilities(self) -> dict[str, dict[str, float]]:
        """The probability of each next letter, by prefix of a unit."""
        following: dict[str, Counter[str]] = {}
        for unit in self.units:
            for place, letter in enumerate(unit):
                following.setdefault(unit[:place], Counter())[letter] += 1
        return {
            begun: {letter: count / counts.total() for letter, count in counts.items()}
            for begun, counts in following.items()
        }

    @cached_property
    def entropies(self) -> dict[str, list[float]]:
        """By unit, the entropy of the choice of each of its letters, in nats."""
        of_prefix = {
            prefix: -sum(p * math.log(p) for p in letters.values()) for prefix, letters in self.probabilities.items()
        }
        return {unit: [of_prefix[unit[:place]] for place in range(len(unit))] for unit in self.units}

    @cached_property
    def surprisals(self) -> dict[str, list[float]]:
        """By unit, the surprisal of each of its letters, in nats."""
        return {
            unit: [-math.log(self.probabilities[unit[:place]][letter]) for place, letter in enumerate(unit)]
            for unit in self.units
        }


def predictable(
    generator: np.random.Generator, lexicon: Lexicon, num_characters: int, delimiter: str = ""
) -> PlantedDocument:
    """Units from a lexicon with a delimiter between them, if any; they have at least `num_characters` letters."""
    drawn = generator.integers(len(lexicon.units), size=num_characters).tolist()
    units = [lexicon.units[index] for index in drawn]
    units = units[: len(_enough(list(map(len, units)), num_characters))]
    text = delimiter.join(units)
    # The end of a unit is certain, because no unit is a prefix of another; so the delimiter is certain too.
    certain = [0.0] * len(delimiter)
    entropies, surprisals = (
        [value for unit in units for value in (*of_units[unit], *certain)][: len(text)]
        for of_units in (lexicon.entropies, lexicon.surprisals)
    )
    return _document(text, [len(unit) + len(delimiter) for unit in units], entropies, surprisals)


def random(generator: np.random.Generator, num_characters: int) -> PlantedDocument:
    """Random letters, with boundaries that are independent of them."""
    lengths = _draw_lengths(generator, num_characters)
    text = "".join(generator.choice(list(LETTERS), size=sum(lengths)))
    of_letter = [math.log(len(LETTERS))] * len(text)
    return _document(text, lengths, of_letter, of_letter)


def with_random_boundaries(generator: np.random.Generator, document: PlantedDocument) -> PlantedDocument:
    """The same text with random boundaries: a null on text that has units."""
    lengths = _draw_lengths(generator, len(document.text))
    return _document(document.text, lengths, document.entropy_nats, document.surprisal_nats)


def maker_of(kind: Kind, lexicon: Lexicon) -> Callable[[np.random.Generator, int], PlantedDocument]:
    """The function that makes documents of a kind, from a random generator and a number of characters."""
    if kind == "random":
        return random
    delimiter = DELIMITER if kind == "marked" else ""
    return lambda generator, num_characters: predictable(generator, lexicon, num_characters, delimiter)


def _document(
    text: str, lengths: Sequence[int], entropies: Sequence[float] | Array, surprisals: Sequence[float] | Array
) -> PlantedDocument:
    starts = tuple(int(start) for start in np.cumsum(lengths) if start < len(text))
    return PlantedDocument(Segmentation(text, starts), np.asarray(entropies), np.asarray(surprisals))


def _draw_lengths(generator: np.random.Generator, num_characters: int) -> list[int]:
    return _enough(generator.choice(LENGTHS, size=num_characters).tolist(), num_characters)


def _enough(lengths: list[int], num_characters: int) -> list[int]:
    """The first lengths whose sum reaches `num_characters`."""
    reached = np.cumsum(lengths) >= num_characters
    return lengths[: int(reached.argmax()) + 1]
