"""Classes of tokens for any tokenizer: in a document, and over a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.errors import ConfigError
from howfar.measures.choices import Classes
from howfar.reading.windows import Window
from howfar.text.classes import ByteClass, CodeClass, classes_of_byte_values, classes_of_bytes, code_classes_of_bytes
from howfar.text.marks import document_mark
from howfar.text.spans import byte_spans_of_tokens, token_bytes
from howfar.text.subword_classes import SubwordClass, classes_of_subword_vocabulary, classes_of_subwords
from howfar.text.tokenizer import END_OF_DOCUMENT, is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def class_names(tokenizer: PreTrainedTokenizerBase, classes: Classes) -> list[str]:
    """Names of the classes, by number.

    Raises:
        ConfigError: The classes are unknown, or are those of code but tokens are not bytes.
    """
    is_bytes = is_byte_tokenizer(tokenizer)
    if classes not in ("text", "code") or (classes == "code" and not is_bytes):
        raise ConfigError(f"classes are {classes!r}; give 'text', or 'code' for a model that reads bytes")
    kind: type[IntEnum] = CodeClass if classes == "code" else ByteClass if is_bytes else SubwordClass
    return [member.name.lower() for member in kind]


def classified(
    tokenizer: PreTrainedTokenizerBase, text: str, classes: Classes
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Tokenize a document between two document marks, and classify its tokens.

    Returns:
        Token ids and class numbers, both `[token]`.
    """
    spans, mark = byte_spans_of_tokens(tokenizer, text), document_mark(tokenizer)
    tokens = np.concatenate([[mark], spans.token_ids, [mark]])
    if classes == "code":
        return tokens, code_classes_of_bytes(tokens)
    if is_byte_tokenizer(tokenizer):
        return tokens, classes_of_bytes(tokens)
    special = np.array([SubwordClass.SPECIAL], dtype=np.uint8)
    return tokens, np.concatenate([special, classes_of_subwords(text, spans.byte_spans), special])


def classes_of_vocabulary(tokenizer: PreTrainedTokenizerBase, num_tokens: int, classes: Classes) -> NDArray[np.uint8]:
    """Class numbers of the first tokens of a vocabulary, each taken by itself; `[token]`."""
    if classes == "code":
        # After an operator a blank is not indentation, and a digit begins a number.
        values = np.arange(END_OF_DOCUMENT + 1)
        return code_classes_of_bytes(np.stack([np.full_like(values, ord("=")), values], axis=1).ravel())[1::2]
    if is_byte_tokenizer(tokenizer):
        return classes_of_byte_values()
    return classes_of_subword_vocabulary(token_bytes(tokenizer, range(num_tokens)))


def classes_of_tokens(tokenizer: PreTrainedTokenizerBase, windows: Sequence[Window]) -> list[NDArray[np.uint8]]:
    """Classes of each window's tokens, `[token]`: from their text if tokens are bytes, else from the token alone."""
    if is_byte_tokenizer(tokenizer):
        return [classes_of_bytes(window.tokens) for window in windows]
    classes = classes_of_vocabulary(tokenizer, len(tokenizer), "text")
    return [classes[window.tokens] for window in windows]
