"""One queue to the models for all visitors.

A model is loaded once and used by one thread, one request at a time: PyTorch already spreads a request over the cores,
and `howfar.override` changes a model that all share. Requests are not batched, because a sum in another order
differs in its last digit, and a page must show what the command line prints. Equal requests are answered once.

A visitor's page asks one question of a kind at a time and of those that wait only the latest, so nobody has more than
a few requests in the queue; above `MAX_WAITING`, visitors are asked to try again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from howfar.errors import BusyError, ModelNotFoundError, TextError
from howfar.explorer.alternatives import Alternatives, read_alternatives
from howfar.explorer.characters import likeliest_characters, probabilities_of, sample_character, spelled
from howfar.explorer.passages import (
    Attention,
    PassageReading,
    attend,
    edited,
    is_kept_whole,
    passage_around,
    place_in,
    read,
)
from howfar.explorer.what_if import Edit, Effects, WhatIf
from howfar.models.loading import choose_mark, load
from howfar.reading import Trace, trace
from howfar.reading.reader import Reader
from howfar.reading.windows import Window

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_WAITING = 64  # requests in the queue
MAX_CHARACTERS = 50_000  # characters in a text
MAX_REMEMBERED = 1_000_000  # characters of the texts in the cache
COST_OF_AN_ANSWER = 2_000  # least cost of a cached answer, in the same unit
NUMBERS_PER_CHARACTER = 16  # kept numbers that cost as much memory as the trace of a character
NUM_CHARACTERS = 8  # likeliest next characters shown
TEMPERATURE = 0.8  # of text that a model writes


class Inference:
    """The models of one process and the queue to them.

    Args:
        models: Arguments of `howfar.load`, by the name that visitors see. Nothing else can be loaded.
        mark: The document mark, as for `howfar.models.loading.choose_mark`.
        max_waiting: Requests that may wait.
        **options: Passed to `howfar.load`: `device`, `dtype`, `device_map`, `attn_implementation`.
    """

    def __init__(
        self,
        models: Mapping[str, str | None],
        *,
        mark: str | None = None,
        max_waiting: int = MAX_WAITING,
        **options: Any,
    ) -> None:
        self._sources, self._mark, self._options = dict(models), mark, options
        self._readers: dict[str, Reader] = {}
        self._answers: OrderedDict[Hashable, tuple[Future[Any], int]] = OrderedDict()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(max_waiting)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="howfar-inference")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self._sources)

    def load_all(self) -> None:
        """Load every model now, not at its first request.

        Raises:
            HowFarError: One cannot be loaded.
        """
        for name in self.names:
            self._ready(name)

    def tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """A model's tokenizer."""
        return self._ready(name).tokenizer

    def layers(self, name: str) -> tuple[int, ...]:
        """A model's layers that have rotary positions."""
        return self._ready(name).layers

    def trace(self, name: str, text: str) -> Trace:
        """The result of `howfar.trace`.

        Raises:
            TextError: The text is empty, too long or cannot be encoded.
            BusyError: Too many requests are waiting.
        """
        check_text(text)
        return self._answer(
            ("trace", name, text), len(text), lambda reader: trace(reader.model, text, reader.tokenizer)
        )

    def what_if(self, name: str, text: str, edit: Edit) -> WhatIf:
        """Read the passage around an edit's gap with and without the edit, and predict what follows the gap.

        Raises:
            BusyError: Too many requests are waiting.
        """
        unedited = Edit(edit.tokens)
        before = self._whole_reading(name, text) or self._reading(name, text, unedited)
        after = before if edit.is_none else self._reading(name, text, edit)
        return WhatIf(before, after, edit, self._characters(name, text, before, after, edit))

    def effects(self, name: str, text: str, edit: Edit) -> Effects:
        """Read the windows of a text in which an edit changes something, with and without it.

        Raises:
            BusyError: Too many requests are waiting.
        """
        document, reader = self.trace(name, text), self._ready(name)

        def reading(window: Window, edit: Edit | None) -> PassageReading:
            def ask(reader: Reader) -> PassageReading:
                return read(reader, window, [], None if edit is None else edit.function(window, reader.lag))

            return cast("PassageReading", self._answer(("window", name, text, window.start, edit), len(window), ask))

        windows = reader.cover(np.append(reader.mark, document.token_ids))
        changed = [window for window in windows if edit.first_after(window) is not None]
        return Effects(document, edit, [(reading(window, None), reading(window, edit)) for window in changed])

    def _characters(
        self, name: str, text: str, before: PassageReading, after: PassageReading, edit: Edit
    ) -> tuple[tuple[bytes, float, float], ...]:
        """The likeliest next characters before or after an edit."""
        token = edit.tokens[1] - 1
        last, first, first_after = place_in(before.passage, token), before.predictions[token], after.predictions[token]
        prefix = Window(0, before.passage.tokens[: last + 1], before.passage.start)

        def ask(reader: Reader) -> tuple[tuple[bytes, float, float], ...]:
            found = likeliest_characters(reader, prefix, first, NUM_CHARACTERS)
            changed, change = found, edit.function(before.passage, reader.lag)
            if change is not None:
                with edited(reader, change):
                    changed = likeliest_characters(reader, prefix, first_after, NUM_CHARACTERS)
                    changed |= probabilities_of(reader, prefix, first_after, found.keys() - changed.keys())
                found |= probabilities_of(reader, prefix, first, changed.keys() - found.keys())
            ordered = sorted(found, key=lambda written: -max(found[written], changed[written]))
            return tuple((spelled(reader.tokenizer, one), found[one], changed[one]) for one in ordered[:NUM_CHARACTERS])

        return self._answer(("characters", name, text, edit), 0, ask)

    def write_on(self, name: str, text: str, edit: Edit, random: np.random.Generator) -> bytes:
        """Sample the character that the model writes next; empty at the end of a document.

        Args:
            name: The model.
            text: The text before.
            edit: An edit of the text's increments.
            random: The random generator.

        Raises:
            BusyError: Too many requests are waiting.
        """
        document = self.trace(name, text)

        def ask(reader: Reader) -> bytes:
            last = len(document.token_ids) - 1
            passage = passage_around(reader, document, last)
            with edited(reader, edit.function(passage, reader.lag)):

                def predict(window: Window) -> NDArray[np.float32]:
                    reading = reader.read_together([window], predict_at=[len(window) - 1])
                    return np.asarray(reading.predictions[0].exp().cpu().numpy())

                return sample_character(predict, reader.tokenizer, passage, TEMPERATURE, random)

        return self._submit(("write", name), ask).result()

    def attention(self, name: str, text: str, token: int, edit: Edit | None = None) -> Attention:
        """The earlier tokens that a token attends to, with an edit of the text's increments.

        Raises:
            BusyError: Too many requests are waiting.
        """

        def ask(reader: Reader, passage: Window, token: int) -> Attention:
            change = None if edit is None else edit.function(passage, reader.lag)
            return attend(reader, passage, token, change)

        return self._of_token(("attention", edit), ask, name, text, token)

    def alternatives(self, name: str, text: str, token: int) -> Alternatives:
        """The increments that other tokens would have in a token's place.

        Raises:
            NoIncrementsError: The model has no increments.
            BusyError: Too many requests are waiting.
        """
        return self._of_token("alternatives", read_alternatives, name, text, token)

    def _of_token(
        self, kind: Hashable, answer: Callable[[Reader, Window, int], Any], name: str, text: str, token: int
    ) -> Any:
        """The answer to a question about a token, from the passage around it."""
        document = self.trace(name, text)
        return self._answer(
            (kind, name, text, token), 0, lambda reader: answer(reader, passage_around(reader, document, token), token)
        )

    def _reading(self, name: str, text: str, edit: Edit) -> PassageReading:
        def ask(reader: Reader, passage: Window, token: int) -> PassageReading:
            return read(reader, passage, [token], edit.function(passage, reader.lag))

        return self._of_token(("reading", edit), ask, name, text, edit.tokens[1] - 1)

    def _whole_reading(self, name: str, text: str) -> PassageReading | None:
        """A short text with the predictions after all tokens, so that a click needs no pass; None for others."""
        document, reader = self.trace(name, text), self._ready(name)
        if not is_kept_whole(reader, document):
            return None
        tokens = range(len(document))
        key, cost = ("whole reading", name, text), len(tokens) * reader.vocabulary_size // NUMBERS_PER_CHARACTER
        found: PassageReading = self._answer(key, cost, lambda own: read(own, passage_around(own, document, 0), tokens))
        return found

    def _answer(self, key: Hashable, size: int, ask: Callable[[Reader], Any]) -> Any:
        """Answer a request, or wait for the answer to an equal one."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                future = self._answers[key][0]
            else:
                future = self._submit(key, ask)
                self._answers[key] = (future, COST_OF_AN_ANSWER + size)
                self._forget_oldest()
        try:
            return future.result()
        except BaseException:
            with self._lock:
                self._answers.pop(key, None)
            raise

    def _submit(self, key: Any, ask: Callable[[Reader], Any]) -> Future[Any]:
        if not self._places.acquire(blocking=False):
            raise BusyError("too many texts are waiting for the model; type on in a moment")
        future = self._worker.submit(lambda: ask(self._model(key[1])))
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _forget_oldest(self) -> None:
        in_all = sum(cost for _, cost in self._answers.values())
        while in_all > MAX_REMEMBERED and len(self._answers) > 1:
            _, (_, cost) = self._answers.popitem(last=False)
            in_all -= cost

    def _ready(self, name: str) -> Reader:
        return self._readers.get(name) or self._worker.submit(self._model, name).result()

    def _model(self, name: str) -> Reader:
        if name not in self._sources:
            raise ModelNotFoundError(f"this page has no model {name!r}; it has {', '.join(self.names)}")
        if name not in self._readers:
            reader = Reader(load(self._sources[name], **self._options))
            choose_mark(reader.model, self._mark)
            _ = reader.tokenizer, reader.mark, reader.layers  # looked up now, so that errors come now
            self._readers[name] = reader
        return self._readers[name]


def check_text(text: str) -> None:
    """Refuse texts that are too long.

    Raises:
        TextError: The text is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise TextError(
            f"the text has {len(text):,} characters, but the explorer takes at most {MAX_CHARACTERS:,}; shorten it, or "
            "trace it with `howfar show`"
        )
