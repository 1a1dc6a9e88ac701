"""One object that reads texts through a model. Everything else that looks at a model's behaviour uses it.

    reader = Reader(model)                       # or Reader(model, tokenizer, context=512, mark="<|endoftext|>")
    text = reader.tokenize("Two roads diverged")  # the document mark, the tokens and their byte spans
    windows = reader.cover(text.tokens)           # overlapping windows; each token is kept once
    for reading in reader.read(windows, "losses", "increments"):  # batch by batch, in bounded memory
        reading.windows, reading.surprisal_nats, reading.increments[layer]

`read` batches windows by length; `read_together` reads windows as one batch. Both keep only what is asked for:
`"losses"` (surprisal and entropy), `"increments"`, `"positions"`, `"attention"`, `"residuals"`. `nats_of`, which sums
losses by document, is the only definition of the held-out loss. The model is in evaluation mode during a batch. An
enclosing `howfar.override` applies. Results are on the model's device, without gradients unless asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from howfar.errors import TextError
from howfar.models.loading import tokenizer_of
from howfar.positions import IncrementConfig, Increments, record
from howfar.positions.attachment import find_increments, positions_of
from howfar.positions.decoder import find_decoder, input_device, option_of, probe
from howfar.positions.mode import evaluation_mode
from howfar.positions.rotation import fixed_up_to
from howfar.reading import head
from howfar.reading.readings import Kept, Reading, TokenizedText
from howfar.reading.watch import ends_at, watch
from howfar.reading.windows import Window, batches, check_windows, cover, pools, real_tokens, side_by_side
from howfar.reading.workers import read_pools
from howfar.text.marks import document_mark
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_CONTEXT = 4096  # tokens in a window by default, even if the model can read more
MAX_TOKENS = 8192  # tokens in a batch by default
MAX_LOGITS = 2**26  # logits of a batch (256 MB in float32), which makes batches smaller if the vocabulary is large
MAX_SLICE = 2**25  # logits that exist at a time (128 MB in float32), however long a window is
MAX_WEIGHTS = 2**26  # attention weights of a batch, of all layers and heads, unless one window has more
POOL = 16  # documents are collected until they fill this many batches, then sorted by length


class Reader:
    """A model that reads texts.

    Args:
        model: A causal language model; it may be compiled, or wrapped by PEFT or for several devices.
        tokenizer: The model's tokenizer; if None, `howfar.tokenizer_of` finds it at first use.
        context: Tokens in a window, including the document mark; if None, the model's maximum (at most 4096).
        overlap: The least left context of a token in a later window; if None, a sixth of the context.
        batch_size: The most windows in a batch; if None, as many as fit in bounded memory.
        mark: The token before a document, as for `document_mark`.

    Raises:
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """

    def __init__(
        self,
        model: PreTrainedModel | nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        context: int | None = None,
        overlap: int | None = None,
        batch_size: int | None = None,
        mark: int | str | None = None,
    ) -> None:
        self.model, self.inner = cast("PreTrainedModel", model), head.readable(model)
        self._tokenizer, self._mark = tokenizer, mark
        self.context = self.longest if context is None else context
        self.overlap = max(1, self.context // 6) if overlap is None else overlap
        check_windows(self.context, self.overlap, batch_size)
        self.batch_size, self._alike_from = batch_size, fixed_up_to(self.inner)

    @property
    def longest(self) -> int:
        """The number of tokens that the model was made to read at once, at most 4096."""
        config = self.inner.config.get_text_config()
        return min(int(getattr(config, "max_position_embeddings", None) or MAX_CONTEXT), MAX_CONTEXT)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments for another reader that reads in the same way."""
        return {name: getattr(self, name) for name in ("context", "overlap", "batch_size")}

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return self._tokenizer or tokenizer_of(self.model)

    @cached_property
    def mark(self) -> int:
        """The token that stands before a document."""
        return document_mark(self.tokenizer, self._mark)

    @cached_property
    def increments(self) -> Increments | None:
        """The model's increments; None for plain rotary positions."""
        return find_increments(self.model)

    @property
    def config(self) -> IncrementConfig | None:
        """The kind of increments; None for plain rotary positions."""
        return None if self.increments is None else self.increments.config

    @property
    def lag(self) -> int:
        """As `IncrementConfig.lag`; 0 for plain rotary positions."""
        return 0 if self.config is None else self.config.lag

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The decoder layers that have rotary positions.

        Raises:
            UnsupportedModelError: The model has no rotary positions.
        """
        positions = positions_of(self.model)  # a plain model has some inside `movable`
        return tuple(probe(find_decoder(self.model)).rotating_layers) if positions is None else positions.layer_indices

    @property
    def num_heads(self) -> int:
        """Number of increments per token in a layer."""
        return 1 if self.increments is None else self.increments.num_heads

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return int(self.inner.get_input_embeddings().weight.shape[0])

    @property
    def device(self) -> torch.device:
        """The device of the model's input."""
        return input_device(self.model)

    @property
    def max_tokens(self) -> int:
        """The most tokens in a batch; a longer window is a batch of its own."""
        return (self.batch_size or 0) * self.context or min(MAX_TOKENS, MAX_LOGITS // self.vocabulary_size)

    def tokenize(self, text: str) -> TokenizedText:
        """Tokenize a text and prepend the document mark.

        Raises:
            TextError: The text is empty or contains a lone surrogate, or a token is not in the model's vocabulary.
        """
        if not isinstance(text, str):
            raise TextError(f"a text is needed, but this is a {type(text).__name__}; give one string")
        if not text:
            raise TextError("the text is empty; give at least one character")
        spans = byte_spans_of_tokens(self.tokenizer, text)
        if not len(spans.token_ids):
            raise TextError("the model's tokenizer gives no tokens for the text; give at least one other character")
        tokens = np.append(self.mark, spans.token_ids)
        if tokens.max() >= self.vocabulary_size:
            raise TextError(
                f"the tokenizer gives token id {tokens.max()}, but the model knows ids up to "
                f"{self.vocabulary_size - 1}; pass the model's own tokenizer"
            )
        return TokenizedText(text, tokens, spans.byte_spans)

    def cover(self, tokens: NDArray[np.int64], document: int = 0) -> list[Window]:
        """Cover a document's tokens with overlapping windows; each token is kept once."""
        return cover(tokens, self.context, self.overlap, document)

    def read(self, windows: Iterable[Window], *keep: Kept) -> Iterator[Reading]:
        """Read windows in batches of similar length, the longest first.

        Memory is bounded by the batch: it grows neither with the number of windows nor with the vocabulary.

        Args:
            windows: Any windows.
            *keep: Names of what to keep.

        Raises:
            UnsupportedModelError: The model does not predict tokens, or lacks rotary positions that `keep` needs.
        """
        pooled = read_pools(self, [windows], lambda pool: pool, *keep)
        return (reading for _, reading in pooled if reading is not None)

    def batches(self, windows: Iterable[Window], with_attention: bool = False) -> Iterator[list[Window]]:
        """Group windows of similar length into batches, the longest first."""
        for batch in batches(windows, self.max_tokens, self._alike_from):
            size = self.batch_size or len(batch)
            if with_attention:
                numbers = option_of(self.inner.config.get_text_config(), "num_attention_heads")
                heads = sum(numbers) if isinstance(numbers, list) else len(self.layers) * numbers
                size = min(size, max(1, MAX_WEIGHTS // (heads * len(batch[0]) ** 2)))
            yield from (batch[begin : begin + size] for begin in range(0, len(batch), size))

    def read_together(
        self,
        windows: Sequence[Window],
        *keep: Kept,
        predict_at: head.TokenIndices | None = None,
        until: int | None = None,
        gradients: bool = False,
    ) -> Reading:
        """Read windows as one batch.

        Args:
            windows: Any windows.
            *keep: Names of what to keep.
            predict_at: One token index per window, or several; the predictions after them are kept as `predictions`.
            until: The last layer whose increments are needed; the pass ends there.
            gradients: Whether increments, positions and predictions stay part of the autograd graph.

        Raises:
            UnsupportedModelError: The model predicts no tokens, lacks rotary positions, or cannot read these together.
        """
        tokens = side_by_side(windows, self._alike_from).to(self.device)
        with ExitStack() as stack:
            # Tensors that a model in training caches (scaled frequencies) must not be inference tensors.
            no_gradients = torch.no_grad() if self.model.training else torch.inference_mode()
            stack.enter_context(torch.enable_grad() if gradients else no_gradients)
            stack.enter_context(evaluation_mode(self.model))
            found: dict[str, Any] = self._increments_and_positions(stack, tokens, keep)
            if {"attention", "residuals"} & set(keep):
                kinds: dict[str, bool] = {kind: kind in keep for kind in ("attention", "residuals")}
                found |= vars(stack.enter_context(watch(self.model, self.layers, **kinds)))
            if until is not None:
                stack.enter_context(ends_at(self.model, until))
            found |= self._run(tokens, windows, "losses" in keep, predict_at)
        return Reading(windows, **found)

    def nats_of(
        self, documents: Iterable[NDArray[np.int64]], only: Container[int] | None = None
    ) -> Iterator[tuple[float, int]]:
        """The loss of documents: the summed surprisal of their tokens, each given the tokens before it.

        Args:
            documents: Their tokens, including the mark before each, int64 `[token]`; taken one by one.
            only: Read only the windows of these numbers, counted over all documents; None for all.

        Yields:
            For each document, in order: the sum of its loss in nats, and the number of its scored tokens.
        """
        number = count()

        def windows_of(pool: list[NDArray[np.int64]]) -> list[Window]:
            covered = (window for i, tokens in enumerate(pool) if len(tokens) > 1 for window in self.cover(tokens, i))
            return [window for window in covered if only is None or next(number) in only]

        nats, counts = defaultdict[int, float](float), defaultdict[int, int](int)
        pooled = pools(documents, len, POOL * self.max_tokens)
        for pool, reading in read_pools(self, pooled, windows_of, "losses"):
            if reading is None:
                yield from ((float(nats.pop(place, 0.0)), counts.pop(place, 0)) for place in range(len(pool)))
                continue
            surprisal = reading.surprisal_nats.cpu().numpy().astype(np.float64)
            for row, window in enumerate(reading.windows):
                nats[window.document] += surprisal[row, window.kept].sum()
                counts[window.document] += window.stop - max(window.kept_from, 1)

    def _increments_and_positions(self, stack: ExitStack, tokens: Tensor, keep: Sequence[Kept]) -> dict[str, Any]:
        """The fields for increments and positions, which the coming forward pass fills; constants of a plain model."""
        wanted = [kind for kind in ("increments", "positions") if kind in keep]
        if not wanted:
            return {}
        if positions_of(self.model) is not None:
            recording = stack.enter_context(record(self.model))
            return {kind: getattr(recording, kind) for kind in wanted}
        ones = torch.ones(tokens.shape[0], 1, tokens.shape[1], device=tokens.device)
        plain = {"increments": ones, "positions": ones.cumsum(dim=-1) - 1}
        return {kind: dict.fromkeys(self.layers, plain[kind]) for kind in wanted}

    def _run(
        self, tokens: Tensor, windows: Sequence[Window], with_losses: bool, predict_at: head.TokenIndices | None
    ) -> dict[str, Tensor]:
        """Run the model, with its output layer only where it is needed; the fields for losses and predictions."""
        length = max(1, MAX_SLICE // (self.vocabulary_size * len(tokens)))
        scored = head.slices(tokens.shape[1], length) if with_losses else []
        parts = scored if predict_at is None else [*scored, head.after(predict_at)]
        if not parts:
            inner = head.inner_model(self.model)
            (self.model if inner is None else inner.base_model)(input_ids=tokens, use_cache=False)
            return {}
        following = tokens.roll(-1, dims=1)
        columns, found = [], {}
        for number, logits in enumerate(head.logits_of_parts(self.model, tokens, parts)):
            if number < len(scored):
                columns.append(head.surprisal_and_entropy(logits, scored[number](following)))
            else:
                chosen = logits if predict_at and isinstance(predict_at[0], Sequence) else logits[:, 0]
                found["predictions"] = chosen.float().log_softmax(dim=-1)
        if columns:
            of_following, entropy = (torch.cat(column, dim=1) for column in zip(*columns, strict=True))
            surprisal = torch.zeros_like(of_following)
            surprisal[:, 1:] = of_following[:, :-1]
            found |= {"surprisal_nats": surprisal * real_tokens(windows).to(surprisal.device), "entropy_nats": entropy}
        return found
