"""Labelled words (or bytes of code) as arrays: their increments, identities and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError
from howfar.progress import Progress, followed
from howfar.reading import Trace, trace_many
from howfar.text.classes import CodeClass, code_classes_of_bytes
from howfar.text.conllu import Token, Word
from howfar.text.segmentation import Segmentation
from howfar.text.spans import character_of_byte

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORD_PLACES = ("first token", "whole word", "token before")
CODE_PLACES = ("this token", "token before")
CODE_CLASS = "class of code"
PART_OF_SPEECH, DISTANCE, ENTITY, FEATURE = "part of speech", "dependency distance", "entity", "feature "
ENTITY_NOTES = ("NER", "Entity", "NE")
"""Names of entity annotations in MISC; their values are `B-…`, `I-…` and `O`, or opening and closing brackets."""
ABSENT = "none"


@dataclass(frozen=True)
class Items:
    """Labelled words (or bytes of code)."""

    identity: NDArray[np.int64]  # `[item]`, the number of the word (or byte)
    previous: NDArray[np.int64]  # `[item]`, the number of the word before it
    entropy: NDArray[np.float64]  # `[item]`, of the model's prediction of its first token, in nats
    increments: NDArray[np.float64]  # `[place, layer, head, item]`, in positions
    places: tuple[str, ...]  # names of the places
    documents: NDArray[np.int64]  # `[item]`
    labels: dict[str, NDArray[np.int64]]  # by name, the number of the class, `[item]`; -1 for an item without the label
    classes: dict[str, list[str]]  # by label name, the names of the classes
    num_left_out: int  # multiword tokens, and words that share a token of the model with other words

    def __len__(self) -> int:
        return len(self.identity)


@dataclass(frozen=True)
class _Part:
    """The items of one text; identities are words, not yet numbers."""

    identity: Sequence[Any]
    previous: Sequence[Any]
    entropy: NDArray[np.float64]
    increments: NDArray[np.float64]
    labels: Sequence[dict[str, str]]
    num_left_out: int = 0


def items_of_words(
    model: PreTrainedModel,
    sentences: Iterable[Segmentation],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_items: int,
    progress: Progress | None = None,
) -> Items:
    """Read annotated sentences until there are enough words.

    A sentence's first word is left out, because no word precedes it.
    """

    def enough() -> Iterator[Segmentation]:
        num = 0
        for sentence in sentences:
            if num >= max_items:
                return
            num += len(sentence.tokens) - 1
            yield sentence

    parts: list[_Part] = []
    begins_document: list[bool] = []
    read, told = tee(enough())
    traces = trace_many(model, (sentence.text for sentence in read), tokenizer)
    pairs = followed(zip(traces, told, strict=False), progress, max_items, lambda pair: len(pair[1].tokens))
    for trace, sentence in pairs:
        parts.append(_words_of(trace, sentence))
        begins_document.append(sentence.begins_document)
    return _gathered(parts, np.cumsum(begins_document) - 1, WORD_PLACES)


def items_of_code(
    model: PreTrainedModel,
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_items: int,
    progress: Progress | None = None,
) -> Items:
    """Read the beginnings of source files with a byte model; each byte except the first of a file is an item."""
    length = max(2, math.ceil(max_items / max(len(texts), 1)))
    parts: list[_Part] = []
    for trace in followed(trace_many(model, (text[:length] for text in texts), tokenizer), progress, len(texts)):
        names = [CodeClass(of).name.lower() for of in code_classes_of_bytes(trace.token_ids)[1:]]
        increments = np.stack([trace.increments[..., 1:], trace.increments[..., :-1]]).astype(np.float64)
        tokens, entropy = trace.token_ids.tolist(), trace.entropy_nats[:-1].astype(np.float64)
        parts.append(_Part(tokens[1:], tokens[:-1], entropy, increments, [{CODE_CLASS: name} for name in names]))
    return _gathered(parts, range(len(parts)), CODE_PLACES)


def _words_of(trace: Trace, sentence: Segmentation) -> _Part:
    """The words of a sentence, without the first, that the model's tokens do not mix with others.

    A token may begin with the blanks before a word, as most subword tokens do, or end with those after it.
    """
    characters = character_of_byte(sentence.text)
    byte_of = np.append(np.searchsorted(characters, np.arange(len(sentence.text))), len(characters))
    begins = np.array([0, *sentence.boundaries], dtype=np.int64)
    ends = begins + [len(token.form) for token in sentence.tokens]
    from_byte, to_byte = byte_of[begins], byte_of[np.minimum(ends, len(sentence.text))]
    token_starts, token_ends = trace.token_bytes.T
    first = np.searchsorted(token_ends, from_byte, "right")
    stop = np.searchsorted(token_ends, to_byte) + 1
    is_visible = ~np.fromiter(map(str.isspace, sentence.text), dtype=bool, count=len(sentence.text))
    num_visible = np.append(0, np.cumsum(is_visible[characters]))  # bytes before each byte, without blanks
    last = len(trace) - 1
    kept = num_visible[token_starts[np.minimum(first, last)]] == num_visible[from_byte]
    kept &= num_visible[token_ends[np.minimum(stop - 1, last)]] == num_visible[to_byte]
    kept &= (first > 0) & (stop > first) & (stop <= len(trace))
    kept &= np.array([len(token.words) == 1 for token in sentence.tokens])
    words = np.flatnonzero(kept)
    words = words[words > 0]
    sums = np.concatenate([np.zeros((*trace.increments.shape[:2], 1)), trace.increments.cumsum(-1, np.float64)], -1)
    at = first[words]
    increments = np.stack(
        [trace.increments[..., at], sums[..., stop[words]] - sums[..., at], trace.increments[..., at - 1]]
    )
    labels = labels_of(sentence.tokens)
    forms = [token.form for token in sentence.tokens]
    return _Part(
        [forms[word] for word in words],
        [forms[word - 1] for word in words],
        trace.entropy_nats[at - 1].astype(np.float64),
        increments.astype(np.float64),
        [labels[word] for word in words],
        len(forms) - 1 - len(words),
    )


def _gathered(parts: Sequence[_Part], documents: Iterable[int], places: tuple[str, ...]) -> Items:
    """Concatenate the items of all texts and number the words and classes."""
    if not parts:
        raise NotMeasurableError("there is no labelled text; give sentences in CoNLL-U")
    sizes = [len(part.identity) for part in parts]
    words = [word for part in parts for word in part.identity], [word for part in parts for word in part.previous]
    number_of = {word: number for number, word in enumerate(dict.fromkeys([*words[0], *words[1]]))}
    identity, previous = (np.array([number_of[word] for word in side], dtype=np.int64) for side in words)
    labels = [of_item for part in parts for of_item in part.labels]
    by_name, classes = {}, {}
    for name in dict.fromkeys(name for of_item in labels for name in of_item):
        absent = ABSENT if name.startswith(FEATURE) else None  # lacking a feature is a class of its own
        values = [of_item.get(name, absent) if of_item else None for of_item in labels]
        classes[name] = sorted({value for value in values if value is not None})
        class_number = {value: number for number, value in enumerate(classes[name])} | {None: -1}
        by_name[name] = np.array([class_number[value] for value in values], dtype=np.int64)
    return Items(
        identity,
        previous,
        np.concatenate([part.entropy for part in parts]),
        np.concatenate([part.increments for part in parts], axis=-1),
        places,
        np.repeat(np.array(list(documents), dtype=np.int64), sizes),
        by_name,
        classes,
        sum(part.num_left_out for part in parts),
    )


def labels_of(tokens: Sequence[Token]) -> list[dict[str, str]]:
    """The labels of each token of a sentence, by name.

    A multiword token has no labels, because its words differ. Features that a token lacks are omitted, and so is the
    entity label if the sentence has no entity annotations.
    """
    entities = _entities(tokens)
    found = []
    for token, entity in zip(tokens, entities, strict=True):
        labels: dict[str, str] = {}
        if len(token.words) == 1:
            word = token.words[0]
            if word.part_of_speech is not None:
                labels[PART_OF_SPEECH] = word.part_of_speech
            if word.head is not None:
                labels[DISTANCE] = _distance(word)
            if entity is not None:
                labels[ENTITY] = entity
            labels |= {FEATURE + name: value for name, value in word.features.items()}
        found.append(labels)
    return found


def _distance(word: Word) -> str:
    """Distance and side of a word's syntactic head."""
    if word.head == 0:
        return "root"
    assert word.head is not None
    distance = abs(word.head - word.number)
    near = "1" if distance == 1 else "2 to 3" if distance <= 3 else "4 or more"
    return f"{near} {'after' if word.head > word.number else 'before'}"


def _entities(tokens: Sequence[Token]) -> list[str | None]:
    """Whether each token begins an entity, is inside one or outside; all None if the sentence has no annotations."""
    notes = [next((word.notes[n] for word in t.words for n in ENTITY_NOTES if n in word.notes), "") for t in tokens]
    if not any(notes):
        return [None] * len(tokens)
    found: list[str | None] = []
    depth = 0
    for note in notes:
        begins = "(" in note or note[:2] in ("B-", "S-", "U-") or note == "B"
        inside = depth > 0 or note[:2] in ("I-", "E-", "L-") or note == "I"
        found.append("begins" if begins else "inside" if inside else "outside")
        depth = max(0, depth + note.count("(") - note.count(")"))
    return found
