"""The byte tokenizer: ids 0-255 are the byte values of UTF-8 text, 256 ends a document."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from howfar.errors import TextError

if TYPE_CHECKING:
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
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(vocab=dict(BYTE_ALPHABET), merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
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
