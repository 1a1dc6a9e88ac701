"""What if a gap were wider, or a layer advanced by plain +1? An edit of the increments, and its effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
        plain: Whether every token of the layer advances by exactly 1 instead; the factor is then ignored, and `tokens`
            is the text's first gap.
        also: Edits made at the same time.
    """

    tokens: tuple[int, int]
    factor: float = 1.0
    layer: int | None = None
    plain: bool = False
    also: tuple[Edit, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return not self.parts

    @property
    def parts(self) -> list[Edit]:
        """Its edits that change something, each alone."""
        return [edit for edit in (self, *self.also) if edit.plain or edit.factor != 1.0]

    def first_after(self, window: Window) -> int | None:
        """The first of the text's tokens that follows an edited gap in a window; None if no gap in it is edited."""
        inside = (
            edit
            for edit in self.parts
            if edit.plain or (window.start < edit.tokens[1] and edit.tokens[0] + 1 < window.stop)
        )
        return min((edit.tokens[1] for edit in inside), default=None)

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
    """The prediction after an edit's gap, without the edit and with it.

    Attributes:
        before: The passage around the gap, without the edit.
        after: With it.
        edit: The edit.
        characters: The likeliest next characters in either: bytes, with their probabilities before and after.
    """

    before: PassageReading
    after: PassageReading
    edit: Edit
    characters: tuple[tuple[bytes, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Effects:
    """What an edit changes in a text, read in the windows in which `howfar.trace` reads the text.

    Attributes:
        own: The text with the model's own increments.
        edit: The edit.
        readings: Each window that has an edited gap, without the edit and with it. Others stay as they are.
    """

    own: Trace
    edit: Edit
    readings: Sequence[tuple[PassageReading, PassageReading]]

    @cached_property
    def moved(self) -> Trace:
        """The text's trace with the edit."""
        trace, lag = self.own, 0 if self.own.config is None else self.own.config.lag
        own = np.concatenate([trace.mark_increments[..., None], trace.increments], axis=-1)
        whole = Window(0, np.append(0, trace.token_ids))  # the document mark stands before the text
        moved = np.stack(
            [
                self.edit.in_passage(whole, lag, layer, torch.from_numpy(row)).numpy()
                for layer, row in zip(trace.layers, own, strict=True)
            ]
        )
        surprisal, entropy = (np.append(np.float32(0), one) for one in (trace.surprisal_nats, trace.entropy_nats))
        for before, after in self.readings:
            window = before.passage
            here = slice(window.kept_from, window.stop)
            for values, name in ((moved, "increments"), (surprisal, "surprisal_nats"), (entropy, "entropy_nats")):
                one, other = (getattr(side, name)[..., window.kept] for side in (before, after))
                values[..., here] = np.where(one == other, values[..., here], other)
        return replace(
            trace,
            mark_increments=moved[..., 0],
            increments=moved[..., 1:],
            surprisal_nats=surprisal[1:],
            entropy_nats=entropy[1:],
        )

    def losses(self, cells: Cells) -> pl.DataFrame:
        """Surprisal of each token that follows an edited gap in its window, in nats.

        Columns: `token`, `bytes`, `cell`, `before`, `after`, `change`.
        """
        windows = [before.passage for before, _ in self.readings]
        tokens = np.concatenate([np.empty(0, dtype=np.int64), *map(self._followed, windows)])
        before, after = (trace.surprisal_nats[tokens] for trace in (self.own, self.moved))
        data = self.own.text.encode()
        return pl.DataFrame(
            {
                "token": tokens,
                "bytes": [data[start:end] for start, end in self.own.token_bytes[tokens].tolist()],
                "cell": np.searchsorted(cells.end_tokens, tokens, side="right"),
                "before": before,
                "after": after,
                "change": after.astype(np.float64) - before,
            },
            schema_overrides={"bytes": pl.Binary},
        )

    def _followed(self, window: Window) -> NDArray[np.int64]:
        """The text's tokens that are kept from a window and follow an edited gap in it."""
        first = self.edit.first_after(window)
        return np.arange(window.stop if first is None else max(window.kept_from - 1, first), window.stop - 1)

    def first_cell(self, cells: Cells) -> int:
        """The first cell whose gap is edited; the last one if none is."""
        first = min((edit.tokens[0] for edit in self.edit.parts), default=len(self.own) - 1)
        return int(np.searchsorted(cells.end_tokens, first, side="right"))

    def is_part(self, losses: pl.DataFrame, cells: Cells) -> bool:
        """Whether `losses` lack some cells after the first edited one: no edited gap is before them in their window."""
        return losses["cell"].n_unique() < len(cells) - 1 - self.first_cell(cells)

    def gaps(self, cells: Cells) -> pl.DataFrame:
        """Gap of each cell, summed over its tokens: `layer`, `head`, `cell`, `before`, `after`, `change`."""
        starts = cells.end_tokens - cells.num_tokens
        before, after = (
            np.add.reduceat(trace.advances.astype(np.float64), starts, axis=-1) for trace in (self.own, self.moved)
        )
        layer, head, cell = np.meshgrid(
            self.own.layers, np.arange(before.shape[1]), np.arange(len(cells)), indexing="ij"
        )
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
