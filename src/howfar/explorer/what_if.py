"""What if a gap were wider, or a layer advanced by plain +1? An edit of the increments, and its effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.explorer.passages import PassageReading, place_in
from howfar.positions import IncrementFunction
from howfar.reading.windows import Window

if TYPE_CHECKING:
    from howfar.charts.rows import Cells
    from howfar.reading import Trace

LARGEST_FACTOR = 16.0


@dataclass(frozen=True)
class Edit:
    """An edit of increments.

    Attributes:
        tokens: First token, and token past the last, of the gap.
        factor: Multiplier of its increments, 0 or more; 1 changes nothing.
        layer: The edited layer; None for all.
        plain: Whether every token of the layer advances by exactly 1 instead; the factor is then ignored.
        also: Edits made at the same time. Effects are those on the text after this edit's gap.
    """

    tokens: tuple[int, int]
    factor: float = 1.0
    layer: int | None = None
    plain: bool = False
    also: tuple[Edit, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return self.factor == 1.0 and not self.plain and all(edit.is_none for edit in self.also)

    def function(self, passage: Window, lag: int) -> IncrementFunction | None:
        """The edit for a passage, as `howfar.override` takes it; None if it changes nothing.

        Args:
            passage: The passage.
            lag: As `IncrementConfig.lag`.
        """
        return None if self.is_none else lambda layer, increments: self.in_passage(passage, lag, layer, increments)

    def in_passage(self, passage: Window, lag: int, layer: int, increments: Tensor) -> Tensor:
        """The edited increments of a layer, `[batch, head, token]`."""
        edited = increments.clone()
        for edit in (self, *self.also):
            if edit.layer is not None and layer != edit.layer:
                continue
            first, stop = (max(0, place_in(passage, token) - lag) for token in edit.tokens)
            if edit.plain:
                edited.fill_(1.0)
            elif edit.factor != 1.0:
                edited[..., first:stop] *= edit.factor
        return edited


@dataclass(frozen=True, eq=False)
class WhatIf:
    """A passage read twice, before and after an edit.

    Attributes:
        before: Without the edit.
        after: With it.
        edit: The edit.
        characters: The likeliest next characters in either: bytes, with their probabilities before and after.
    """

    before: PassageReading
    after: PassageReading
    edit: Edit
    characters: tuple[tuple[bytes, float, float], ...] = ()

    def losses(self, cells: Cells) -> pl.DataFrame:
        """Surprisal of each token after the gap, in nats: `token`, `bytes`, `cell`, `before`, `after`, `change`."""
        passage, trace = self.before.passage, cells.trace
        tokens = np.arange(self.edit.tokens[1], passage.stop - 1)
        before, after = (side.surprisal_nats[place_in(passage, 0) + tokens] for side in (self.before, self.after))
        data = trace.text.encode()
        return pl.DataFrame(
            {
                "token": tokens,
                "bytes": [data[start:end] for start, end in trace.token_bytes[tokens].tolist()],
                "cell": np.searchsorted(cells.end_tokens, tokens, side="right"),
                "before": before,
                "after": after,
                "change": after.astype(np.float64) - before,
            },
            schema_overrides={"bytes": pl.Binary},
        )

    def trace(self, trace: Trace) -> Trace:
        """The text's trace as the edit makes it.

        In the passage, edited steps are those that the model was given, and everything else changes as it changed
        there. Outside it only the edited steps change.
        """
        passage, lag = self.before.passage, 0 if trace.config is None else trace.config.lag
        own = np.concatenate([trace.mark_increments[..., None], trace.increments], axis=-1)
        whole = Window(0, np.append(0, trace.token_ids))  # the document mark stands before the text
        edited = np.stack(
            [
                self.edit.in_passage(whole, lag, layer, torch.from_numpy(row)).numpy()
                for layer, row in zip(trace.layers, own, strict=True)
            ]
        )
        here = slice(passage.start, passage.stop)
        changed = _changed(own[..., here], self.before.increments, self.after.increments)
        edited[..., here] = np.where(edited[..., here] != own[..., here], self.after.increments, changed)
        tokens = slice(max(0, passage.start - 1), passage.stop - 1)
        first = place_in(passage, tokens.start)
        surprisal, entropy = trace.surprisal_nats.copy(), trace.entropy_nats.copy()
        for values, before, after in (
            (surprisal, self.before.surprisal_nats, self.after.surprisal_nats),
            (entropy, self.before.entropy_nats, self.after.entropy_nats),
        ):
            values[tokens] = _changed(values[tokens], before[first:], after[first:])
        return replace(
            trace,
            mark_increments=edited[..., 0],
            increments=edited[..., 1:],
            surprisal_nats=surprisal,
            entropy_nats=entropy,
        )

    def has_more(self, cells: Cells) -> bool:
        """Whether the passage ends before the text, so that later losses are unknown."""
        return self.before.passage.stop <= len(cells.trace)

    def gaps(self, cells: Cells) -> pl.DataFrame:
        """Gap of each cell, summed over its tokens: `layer`, `head`, `cell`, `before`, `after`, `change`."""
        passage, ends = self.before.passage, cells.end_tokens
        starts = ends - cells.num_tokens
        inside = np.flatnonzero((starts >= passage.start) & (ends < passage.stop))
        before, after = (
            np.add.reduceat(side.gaps.astype(np.float64), starts[inside] - passage.start, axis=-1)
            for side in (self.before, self.after)
        )
        layer, head, cell = np.meshgrid(self.before.layers, np.arange(before.shape[1]), inside, indexing="ij")
        return pl.DataFrame(
            {
                "layer": layer.ravel(),
                "head": head.ravel(),
                "cell": cell.ravel(),
                "before": before.ravel(),
                "after": after.ravel(),
                "change": (after - before).ravel(),
            }
        )


def _changed(own: NDArray[np.float32], before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers of a text with the changes in a passage of it, where the model may have read less text before them."""
    return np.where(own == before, after, own + (after - before))
