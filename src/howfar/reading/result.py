"""A trace and views of it: by token, by unit of text, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.errors import HowFarError
from howfar.positions import IncrementConfig
from howfar.text.spans import character_of_byte

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Unit:
    """The smallest piece of text that begins and ends both at a character and at a token.

    With a byte model: a character. With a subword model: a token, or the tokens that together make one emoji.
    """

    text: str
    start_char: int
    end_char: int
    start_token: int
    end_token: int


@dataclass(frozen=True, eq=False)
class Trace:
    """A model's increments and predictions on a text. The document mark before the text is not among the tokens.

    Attributes:
        text: The text.
        token_ids: int64 `[token]`.
        token_bytes: int64 `[token, 2]`: start and stop byte of each token in the text's UTF-8.
        layers: The decoder layers that have rotary positions.
        increments: float32 `[layer, head, token]`, in positions: how far each token advances them. One head unless
            increments are per head. Ones if the model has no increments.
        mark_increments: float32 `[layer, head]`: the increment of the document mark.
        surprisal_nats: float32 `[token]`: -ln of the probability of each token given all tokens before it.
        entropy_nats: float32 `[token]`: entropy of the model's prediction of the next token, after reading this one.
        config: The kind of increments; None for plain rotary positions.
        model_name: As given to `howfar.load`.
        context: Tokens in a window. Longer texts were read in overlapping windows.
        overlap: The least left context of a token, except in the first window.
        mark: Token id of the document mark; None in a file of an older version.
        attention: float32 `[layer, head, query, key]`, attention weights, if they were asked for. Index 0 of queries
            and keys is the document mark; the text's tokens follow. The weights of a query sum to 1, or to less if the
            model has attention sinks.
    """

    text: str
    token_ids: NDArray[np.int64]
    token_bytes: NDArray[np.int64]
    layers: tuple[int, ...]
    increments: NDArray[np.float32]
    mark_increments: NDArray[np.float32]
    surprisal_nats: NDArray[np.float32]
    entropy_nats: NDArray[np.float32]
    config: IncrementConfig | None
    model_name: str
    context: int
    overlap: int
    mark: int | None = None
    attention: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.token_ids)

    def __repr__(self) -> str:
        layers, heads, tokens = self.increments.shape
        start = self.text if len(self.text) <= 40 else f"{self.text[:39]}…"
        return f"Trace({start!r}, {tokens} tokens, {layers} layers, {heads} heads, model {self.model_name!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """In a notebook, display the spacing picture; plain text if there is none to draw."""
        import howfar

        words = {"text/plain": repr(self)}
        try:
            return howfar.spacing(self)._repr_mimebundle_(include, exclude) | words
        except HowFarError:
            return words

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """The position of each token, `[layer, head, token]`, summed over the whole text; the document mark is at 0.

        If the model does not accumulate increments, they are the positions, and the mark is not the origin.
        """
        if self.config is not None and not self.config.accumulate:
            return self.increments.astype(np.float64)
        return self.advances.cumsum(axis=-1, dtype=np.float64)

    @property
    def advances(self) -> NDArray[np.float32]:
        """How far each token lies from the one before it, `[layer, head, token]`, where increments accumulate."""
        if self.config is None or not self.config.lag:
            return self.increments
        return np.concatenate([self.mark_increments[..., None], self.increments[..., :-1]], axis=-1)

    @cached_property
    def _unit_edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token and character at which each unit begins, both `[unit + 1]`, with the end of the last unit."""
        characters = character_of_byte(self.text)
        starts, ends = self.token_bytes.T
        begins = np.append(True, np.diff(characters) > 0)  # whether a byte begins a character
        first_tokens = np.flatnonzero((ends > starts) & begins[np.minimum(starts, len(begins) - 1)])
        first_characters = characters[starts[first_tokens]]
        if len(first_tokens):  # bytes without a token join the unit before them; at the start, the first unit
            first_tokens[0] = first_characters[0] = 0
        return np.append(first_tokens, len(self)), np.append(first_characters, len(self.text))

    @cached_property
    def units(self) -> list[Unit]:
        """The smallest pieces of text that begin and end both at a character and at a token, in order."""
        tokens, characters = (edges.tolist() for edges in self._unit_edges)
        return [
            Unit(self.text[start_char:end_char], start_char, end_char, start_token, end_token)
            for start_char, end_char, start_token, end_token in zip(
                characters[:-1], characters[1:], tokens[:-1], tokens[1:], strict=True
            )
        ]

    def unit_gaps(self) -> NDArray[np.float64]:
        """How far each unit advances the positions, `[layer, head, unit]`: the sum over its tokens."""
        return self._sum_by_unit(self.increments)

    def unit_positions(self) -> NDArray[np.float64]:
        """The position of each unit, `[layer, head, unit]`: that of its last token."""
        return self.positions[..., self._unit_edges[0][1:] - 1]

    def unit_surprisal_nats(self) -> NDArray[np.float64]:
        """Surprisal of each unit given the text before it, `[unit]`: the sum over its tokens."""
        return self._sum_by_unit(self.surprisal_nats)

    def unit_entropy_nats(self) -> NDArray[np.float32]:
        """Entropy of the prediction of the next token after reading each unit, `[unit]`."""
        return self.entropy_nats[self._unit_edges[0][1:] - 1]

    def _sum_by_unit(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return np.add.reduceat(values, self._unit_edges[0][:-1], axis=-1, dtype=np.float64)

    def table(self) -> pl.DataFrame:
        """One row for each layer, head and token.

        Columns: `layer`, `head`, `token`, `token_id`, `bytes` (the token's), `characters` (its unit's), `increment` and
        `position` (in positions), `surprisal_nats`, `entropy_nats`.
        """
        import polars as pl

        _, num_heads, num_tokens = self.increments.shape
        data = self.text.encode()
        unit_of_token = np.repeat(np.arange(len(self.units)), np.diff(self._unit_edges[0]))
        tokens = pl.DataFrame(
            {
                "token": np.arange(num_tokens),
                "token_id": self.token_ids,
                "bytes": [data[start:end] for start, end in self.token_bytes.tolist()],
                "characters": pl.Series([unit.text for unit in self.units], dtype=pl.String).gather(unit_of_token),
                "surprisal_nats": self.surprisal_nats,
                "entropy_nats": self.entropy_nats,
            }
        )
        frames = [
            tokens.with_columns(
                pl.lit(layer, pl.Int64).alias("layer"),
                pl.lit(head, pl.Int64).alias("head"),
                pl.Series("increment", self.increments[index, head]),
                pl.Series("position", self.positions[index, head]),
            )
            for index, layer in enumerate(self.layers)
            for head in range(num_heads)
        ]
        return pl.concat(frames).select(
            *("layer", "head", "token", "token_id", "bytes", "characters", "increment", "position"),
            *("surprisal_nats", "entropy_nats"),
        )

    def save(self, path: str | Path) -> None:
        """Write the trace, without its attention, to a Parquet file, completely or not at all.

        Raises:
            OutputError: The file cannot be written.
        """
        from howfar.reading.files import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace that `save` wrote.

        Raises:
            TraceFileError: The file is missing, damaged or not a trace.
        """
        from howfar.reading.files import load

        return cls(**load(Path(path)))
