"""The base positions of a pass's tokens, and how far increments move them.

The base model's positions are its `position_ids`: passed in, or 0, 1, 2, ... A token's learned position is its
base position plus its *displacement*: the sum of (increment - 1) over the tokens that it follows, itself included.
So increments of 1 leave every token where it was, bit for bit, however the model is called. What a token follows is

- the text before it in its row, the cache included, and no padding;
- not what is before a document's start: where position ids do not rise, a new document begins;
- in a tree (a 4-D mask whose position ids go back to a branch's parent), the tokens that it may attend to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from howfar.errors import UnsupportedModelError
from howfar.positions.arguments import LayerCall
from howfar.positions.padding import one_mask, own_keys, real_tokens
from howfar.positions.rotation import Rotation
from howfar.positions.shapes import Bool, Float, Int, Length


@dataclass(frozen=True)
class BasePositions:
    """The tokens of one forward pass before increments move them.

    Args:
        ids: Base positions.
        real: Which tokens are text; None if all are.
        next_id: The base position that continues the text up to each token; 0 before any.
        start: Index, within this pass, of the token at which each token's document starts; -1 for documents that
            continue from the cache. None if no document starts within the pass.
        follows: In a tree: which tokens of this pass each token follows, itself included.
        resumes: In a tree: which tokens follow the end of the cache.
    """

    ids: Tensor
    real: Bool[Tensor, "batch token"] | None
    next_id: Tensor
    start: Int[Tensor, "batch token"] | None = None
    follows: Bool[Tensor, "batch token token"] | None = None
    resumes: Bool[Tensor, "batch token"] | None = None

    def on(self, device: torch.device) -> BasePositions:
        """A copy on another device."""
        if self.ids.device == device:
            return self
        return replace(self, **{k: v.to(device) for k, v in vars(self).items() if v is not None})

    def displacement(
        self, excess: Float[Tensor, "batch head token"], last: Float[Tensor, "batch head one"] | None
    ) -> Float[Tensor, "batch head token"]:
        """How far each token has moved from its base position.

        Args:
            excess: Increments minus 1; 0 for padding.
            last: The displacement at the end of the cache; None without a cache.
        """
        if self.follows is not None and self.resumes is not None:
            sums = excess @ self.follows.to(excess.dtype).mT
            return sums if last is None else sums + last * self.resumes[:, None]
        sums = excess.cumsum(dim=-1)
        if last is not None:
            sums = last + sums
        if self.start is None:
            return sums
        start = self.start[:, None].expand(len(excess), excess.shape[1], -1)
        before = (sums - excess).gather(-1, start.clamp(min=0))
        return sums - before.masked_fill(start < 0, 0)


def base_positions(
    position_ids: Tensor | None,
    attention_mask: Any,
    num_tokens: Length,
    num_past_tokens: int | Tensor,
    has_past: bool | Tensor,
    next_id: Tensor | None,
    device: torch.device,
) -> BasePositions:
    """The base positions of a pass's tokens.

    Args:
        position_ids: As the decoder got them; None if it counts by itself.
        attention_mask: As the decoder got it.
        num_tokens: Tokens of this pass.
        num_past_tokens: Tokens in the cache before this pass.
        has_past: Whether there is text before this pass that it may continue.
        next_id: `[batch, 1]`, `BasePositions.next_id` at the end of the cache; None without one.
        device: Device of the result.

    Raises:
        UnsupportedModelError: Tokens have several positions at once, or branch without a single path.
    """
    real = real_tokens(attention_mask, num_tokens, num_past_tokens)
    real = None if real is None else real.to(device)
    order = torch.arange(num_tokens, device=device)
    ids = num_past_tokens + order[None] if position_ids is None else one_axis(position_ids).to(device)
    ids = ids.expand(-1, num_tokens)
    next_id = torch.zeros_like(ids[:, :1]) if next_id is None else next_id.to(device, ids.dtype)
    if real is None:
        last, after = order[None], ids + 1
    else:
        ids, real = torch.broadcast_tensors(ids, real)  # either may have one row for all
        last = torch.where(real, order, -1).cummax(dim=-1).values
        after = torch.where(last < 0, next_id, ids.gather(-1, last.clamp(min=0)) + 1)
    base = BasePositions(ids, real, after)
    if position_ids is None:
        return base
    num_rows = max(len(after), len(next_id))
    expected = torch.cat((next_id.expand(num_rows, 1), after[:, :-1].expand(num_rows, -1)), dim=-1)
    goes_on = F.pad(last[:, :-1], (1, 0), value=-1) >= 0
    goes_on = goes_on | torch.as_tensor(has_past, device=device)
    if real is not None:
        goes_on = goes_on & real
    mask = one_mask(attention_mask)
    if mask is not None and mask.ndim == 4 and num_tokens > 1:
        leaps = goes_on & (ids != expected)
        if torch.compiler.is_compiling() or bool(leaps.any()):
            return _tree(base, mask.to(device), num_past_tokens, leaps)
        return base
    starts = goes_on & (ids < expected)
    return replace(base, start=torch.where(starts, order, -1).cummax(dim=-1).values)


def position_ids_of(call: LayerCall, rotations: Mapping[int, Rotation]) -> Tensor | None:
    """The position ids of a decoder's call.

    Args:
        call: The call.
        rotations: How the decoder's layers rotate.

    Raises:
        UnsupportedModelError: They are no numbers, or not one for each token, or `[axis, batch, token]` for a model
            whose positions have no axes.
    """
    ids, tokens = call.get("position_ids"), call.get("input_ids")
    tokens = call.get("inputs_embeds") if tokens is None else tokens
    if ids is None or tokens is None:
        return ids
    num_rows, num_tokens = tokens.shape[:2]
    are_numbers = isinstance(ids, Tensor) and not ids.is_complex()
    if are_numbers and _fit(ids, num_rows, num_tokens, rotations):
        return cast(Tensor, ids)
    got = f"of shape {tuple(ids.shape)}" if are_numbers else f"of type {getattr(ids, 'dtype', type(ids).__name__)}"
    raise UnsupportedModelError(
        f"position_ids {got} are not one number for each of {num_rows} by {num_tokens} tokens; "
        f"give a tensor of shape ({num_rows}, {num_tokens}) or (1, {num_tokens}), or leave them out"
    )


def _fit(ids: Tensor, num_rows: int, num_tokens: int, rotations: Mapping[int, Rotation]) -> bool:
    if ids.ndim not in (2, 3) or ids.shape[-2] not in (1, num_rows) or ids.shape[-1] not in (1, num_tokens):
        return False
    if ids.ndim == 2:
        return True
    sections = [getattr(rotation.module, "mrope_section", None) for rotation in rotations.values()]
    return any(sections) and ids.shape[0] in (3, 4, *map(len, filter(None, sections)))


def one_axis(position_ids: Tensor) -> Tensor:
    """Position ids `[batch or 1, token]`, also for models of images and text, which have several axes of them.

    Raises:
        UnsupportedModelError: The axes differ: the tokens are parts of images.
    """
    if position_ids.ndim < 3:
        return position_ids
    if torch.compiler.is_compiling() or bool((position_ids != position_ids[:1]).any()):
        raise UnsupportedModelError(
            f"position_ids of shape {tuple(position_ids.shape)} give tokens several positions at once (as parts of "
            "an image), which increments cannot move; give text only, or call howfar.detach(model) first"
        )
    return position_ids[0]


def _tree(base: BasePositions, mask: Tensor, num_past_tokens: int | Tensor, leaps: Tensor) -> BasePositions:
    """What each token follows where position ids go back to a branch's parent.

    Compiled code cannot branch on tensors, so it sums over what a token may attend to unless ids only rise by 1.
    """
    num_tokens = base.ids.shape[-1]
    may = (mask if mask.dtype == torch.bool else mask == 0)[:, 0].expand(len(leaps), -1, -1)
    own = own_keys(mask, num_tokens, num_past_tokens)
    follows = may.gather(-1, own.expand(len(may), num_tokens, -1))
    order = torch.arange(num_tokens, device=mask.device)
    real = torch.ones_like(follows[..., 0]) if base.real is None else base.real
    follows = follows & (order[:, None] >= order) & real[:, None]
    end = (own[:1, :, :1] - 1).clamp(min=0).expand(len(may), num_tokens, 1)
    resumes = may.gather(-1, end)[..., 0] & torch.as_tensor(num_past_tokens > 0, device=mask.device)
    if torch.compiler.is_compiling():
        rises = ~leaps.any()
        follows = torch.where(rises, real[:, None] & (order[:, None] >= order), follows)
        return replace(base, follows=follows, resumes=resumes | rises)
    _check_paths(may, follows, own, resumes, real)
    return replace(base, follows=follows, resumes=resumes)


def _check_paths(may: Tensor, follows: Tensor, own: Tensor, resumes: Tensor, real: Tensor) -> None:
    """Check that each token follows its parent and what the parent follows, and nothing else."""
    order = torch.arange(follows.shape[-1], device=follows.device)
    before = follows & (order[:, None] > order)
    parent = torch.where(before, order, -1).amax(dim=-1)
    index = parent.clamp(min=0)[..., None]
    same = (before == follows.gather(1, index.expand_as(follows))).all(dim=-1)
    past = may[..., : int(own.min())]
    same &= (past == past.gather(1, index.expand_as(past))).all(dim=-1)
    rooted = ~past.any(dim=-1) | resumes
    if not bool((torch.where(parent < 0, rooted, same) | ~real).all()):
        raise UnsupportedModelError(
            "position_ids and the attention mask branch without a single path: a token attends "
            "to only a part of its parent's past, or not to the end of the cache; give a mask in which each token sees "
            "its parent and everything that its parent sees"
        )
