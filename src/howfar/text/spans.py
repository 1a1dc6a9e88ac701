"""The bytes and characters of a text that each token represents, for any tokenizer.

Tokens and characters do not line up: a Chinese character may be three byte tokens, and one subword token may be eight
letters and a space. Both are spans of the text's UTF-8 bytes, so they are compared in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.errors import TextError
from howfar.text.tokenizer import BYTE_ALPHABET, is_byte_tokenizer, utf8_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE_MARKER = "\u2581"  # SentencePiece writes a space as "▁"


@dataclass(frozen=True)
class TokenSpans:
    """A tokenized text and the bytes of its tokens.

    Attributes:
        token_ids: int64 `[token]`, including the special tokens that the tokenizer was asked to add.
        byte_spans: int64 `[token, 2]`: first byte and the byte past the last. The spans run in order and do not
            overlap; a token that stands for no text (a special token) has an empty span. Bytes that the tokenizer
            drops belong to no span.
    """

    token_ids: NDArray[np.int64]
    byte_spans: NDArray[np.int64]


def character_of_byte(text: str) -> NDArray[np.int64]:
    """The index of the character of each byte of the text's UTF-8: int64 `[byte]`.

    Raises:
        TextError: The text contains a lone surrogate.
    """
    return np.cumsum(~_is_continuation(utf8_bytes(text)), dtype=np.int64) - 1


def utf16_places(text: str) -> NDArray[np.int64]:
    """The place in JavaScript's string of each character, and of the text's end: int64 `[character + 1]`.

    Raises:
        TextError: The text contains a lone surrogate.
    """
    data = utf8_bytes(text)
    first_bytes = np.frombuffer(data, np.uint8)[~_is_continuation(data)]
    units = 1 + (first_bytes >= 0xF0)  # two for a character of four bytes
    return np.concatenate([[0], units.cumsum()])


def byte_spans_of_tokens(
    tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = False
) -> TokenSpans:
    """Tokenize a text and find the bytes that each token stands for; text like a special token is plain text.

    If the tokens' own bytes spell the text (byte-level and byte-fallback vocabularies, SentencePiece), the spans are
    exact to the byte. Otherwise (a tokenizer that folds case or normalises) they come from the tokenizer's character
    offsets, and tokens that share a character divide its bytes evenly.

    Args:
        tokenizer: Any Transformers tokenizer.
        text: The text.
        add_special_tokens: Whether to let the tokenizer add its special tokens.

    Raises:
        TextError: The text contains a lone surrogate, or the tokenizer's tokens cannot be matched with the text.
    """
    data = utf8_bytes(text)
    if is_byte_tokenizer(tokenizer):  # the same as below, without its cost for long texts
        starts = np.arange(len(data))
        return TokenSpans(np.frombuffer(data, np.uint8).astype(np.int64), np.stack([starts, starts + 1], axis=1))
    with_offsets = bool(getattr(tokenizer, "is_fast", False))
    encoding = tokenizer(
        text, add_special_tokens=add_special_tokens, split_special_tokens=True, return_offsets_mapping=with_offsets
    )
    token_ids = list(encoding["input_ids"])
    spans = _spans_from_spelling(token_bytes(tokenizer, token_ids), data)
    if spans is None and with_offsets:
        spans = _spans_from_offsets(encoding["offset_mapping"], text)
    if spans is None:
        raise TextError(
            f"the tokens of {type(tokenizer).__name__} do not spell the text and it gives no character offsets; "
            "use a fast tokenizer (AutoTokenizer's default)"
        )
    return TokenSpans(np.asarray(token_ids, dtype=np.int64), np.asarray(spans, dtype=np.int64).reshape(-1, 2))


def token_bytes(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> list[bytes]:
    """The bytes that a token spells; none for a special token.

    Byte-level vocabularies (GPT-2, Llama 3, the byte tokenizer), SentencePiece's space marker and byte-fallback pieces
    (`<0xE4>`) are understood; any other token is its own UTF-8.
    """
    byte_level = _is_byte_level(tokenizer)
    special = set(tokenizer.all_special_ids)
    spelled: dict[int, bytes] = {}
    for token_id in set(token_ids):
        token = tokenizer.convert_ids_to_tokens(token_id)
        spelled[token_id] = b"" if token_id in special or token is None else _spell(token, byte_level)
    return [spelled[token_id] for token_id in token_ids]


def _spell(token: str, byte_level: bool) -> bytes:
    if byte_level:
        if all(character in BYTE_ALPHABET for character in token):
            return bytes(BYTE_ALPHABET[character] for character in token)
        return token.encode()
    if fallback := _BYTE_FALLBACK.fullmatch(token):
        return bytes([int(fallback[1], 16)])
    return token.replace(_SPACE_MARKER, " ").encode()


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the vocabulary is written in the byte-level alphabet, where a space is `Ġ` (or a token begins so)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return "ByteLevel" in repr(backend.decoder)
    return hasattr(tokenizer, "byte_decoder")


def _spans_from_spelling(pieces: Sequence[bytes], data: bytes) -> list[tuple[int, int]] | None:
    """Align the tokens' bytes with the text; None if they do not spell it."""
    spans: list[tuple[int, int]] = []
    position = 0
    for piece in pieces:
        if position == 0 and piece[:1] == b" " and not data.startswith(piece):
            piece = piece[1:]  # the space that SentencePiece puts before a text
        if not data.startswith(piece, position):
            return None
        spans.append((position, position + len(piece)))
        position += len(piece)
    return spans if position == len(data) else None


def _spans_from_offsets(offsets: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Turn character offsets into ordered byte spans; tokens of one character divide its bytes evenly."""
    starts = np.flatnonzero(~_is_continuation(text.encode()))
    byte_of_character = [*starts.tolist(), len(text.encode())]
    spans: list[tuple[int, int]] = []
    index = position = 0
    while index < len(offsets):
        first, last = offsets[index]
        end_of_group = index + 1
        while end_of_group < len(offsets) and tuple(offsets[end_of_group]) == (first, last) and last > first:
            end_of_group += 1
        begin = max(position, byte_of_character[first]) if last > first else position
        end = max(begin, byte_of_character[last]) if last > first else position
        edges = np.linspace(begin, end, end_of_group - index + 1).astype(int).tolist()
        spans.extend(pairwise(edges))
        index, position = end_of_group, end
    return spans


def _is_continuation(data: bytes) -> NDArray[np.bool_]:
    return (np.frombuffer(data, dtype=np.uint8) & 0xC0) == 0x80
