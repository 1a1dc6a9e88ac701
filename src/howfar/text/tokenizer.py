"""The byte tokenizer: ids 0-255 are the byte values of UTF-8 text, 256 ends a document. And subwords made of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from howfar.errors import ConfigError, TextError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

END_OF_DOCUMENT = 256
END_OF_DOCUMENT_TEXT = "<|endofdocument|>"
VOCABULARY_SIZE = 257


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that byte-level tokenizers write for each byte value.

    Printable Latin-1 characters stand for themselves; the other bytes take the code points from 256 on, in order.

    Source:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2), section 2.2.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [value for value in range(256) if value not in printable]
    return {chr(value if value in printable else 256 + others.index(value)): value for value in range(256)}


BYTE_ALPHABET: Mapping[str, int] = MappingProxyType(_byte_alphabet())
"""From the character for a byte in byte-level vocabularies (GPT-2, Llama 3, ours) to the byte value."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Make the byte tokenizer as a Transformers tokenizer.

    It adds no special tokens, normalises nothing, and reads `<|endofdocument|>` inside a text as the plain characters.
    The end of document serves as end of sequence and as padding.

    Returns:
        A tokenizer of 257 ids that saves and loads like any other (`AutoTokenizer`).
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.BPE(vocab=dict(BYTE_ALPHABET), merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _with_end_of_document(backend)


def subword_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE. It begins with the 256 byte values, so it encodes any text and loses nothing.

    Words, numbers and punctuation are kept apart, as in GPT-2. The last id ends a document, as in the byte tokenizer.

    Args:
        texts: The texts to train on; the same ones in any order give the same tokenizer.
        vocabulary_size: Number of ids.

    Returns:
        A tokenizer that saves and loads like any other (`AutoTokenizer`).

    Raises:
        ConfigError: There are fewer ids than the bytes have, or more than the texts have frequent pairs for.

    Source:
        Sennrich et al. 2016, arXiv:1508.07909; of bytes: Radford et al. 2019 (GPT-2), section 2.2.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if vocabulary_size <= VOCABULARY_SIZE:
        raise ConfigError(
            f"the vocabulary has {vocabulary_size} ids; give more than the {VOCABULARY_SIZE} of bytes, for example 4096"
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1, initial_alphabet=list(BYTE_ALPHABET), min_frequency=2, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    found = backend.get_vocab_size() + 1
    if found < vocabulary_size:
        raise ConfigError(
            f"the text has too few pairs that occur twice for {vocabulary_size:,} ids; give more text, or ask for at "
            f"most {found:,} ids"
        )
    return _with_end_of_document(backend)


def _with_end_of_document(backend: Tokenizer) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with the end of a document as its last id."""
    from tokenizers import AddedToken, decoders
    from transformers import PreTrainedTokenizerFast

    backend.decoder = decoders.ByteLevel()
    end_of_document = AddedToken(END_OF_DOCUMENT_TEXT, special=True, normalized=False)
    backend.add_special_tokens([end_of_document])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=end_of_document,
        pad_token=end_of_document,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def is_byte_tokenizer(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer gives every text its byte values and ends documents with 256, as ours does."""
    return tokenizer.get_vocab() == {**BYTE_ALPHABET, END_OF_DOCUMENT_TEXT: END_OF_DOCUMENT}


def utf8_bytes(text: str) -> bytes:
    """Encode text as UTF-8.

    Raises:
        TextError: The text contains a lone surrogate, which UTF-8 cannot express.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(
            f"the text has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}, which UTF-8 "
            "cannot express; remove it, or read the text again with the encoding that it was written in"
        ) from None
