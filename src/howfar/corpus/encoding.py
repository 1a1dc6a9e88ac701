"""Encode documents as the tokens of a corpus, with the byte tokenizer or any other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus, token_dtype
from howfar.errors import ConfigError
from howfar.text.marks import chosen_mark, end_of_document
from howfar.text.tokenizer import END_OF_DOCUMENT, END_OF_DOCUMENT_TEXT, VOCABULARY_SIZE, is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class DocumentEncoder:
    """Encodes documents and appends an end of document to each.

    Args:
        tokenizer: A Transformers tokenizer, or None for the byte tokenizer (which needs no tokenizer object and is as
            fast as copying).

    Attributes:
        tokenizer: The tokenizer; None for the byte tokenizer.
        end_of_document: The token after each document.
        dtype: The type in which tokens are stored.

    Raises:
        ConfigError: As `end_of_document`; or another mark was chosen for the byte tokenizer, which has one of its own.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        self.tokenizer = tokenizer
        if tokenizer is not None and is_byte_tokenizer(tokenizer):
            self.tokenizer = None
            if (mark := chosen_mark(tokenizer)) not in (None, END_OF_DOCUMENT):
                raise ConfigError(
                    f"the byte tokenizer ends documents with {END_OF_DOCUMENT_TEXT}, not with "
                    f"{tokenizer.convert_ids_to_tokens(mark)}; choose no mark for it"
                )
        self.end_of_document = END_OF_DOCUMENT if self.tokenizer is None else end_of_document(self.tokenizer)
        self.dtype = token_dtype(VOCABULARY_SIZE if self.tokenizer is None else len(self.tokenizer))

    def encode(self, document: bytes) -> NDArray[np.uint16 | np.uint32]:
        """Encode a document of valid UTF-8; text that looks like a special token is encoded as plain text."""
        if self.tokenizer is None:
            token_ids: Any = np.frombuffer(document, dtype=np.uint8)
        else:
            text = document.decode("utf-8")
            encoding = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
            token_ids = encoding["input_ids"]
        tokens = np.empty(len(token_ids) + 1, dtype=self.dtype)
        tokens[:-1] = token_ids
        tokens[-1] = self.end_of_document
        return tokens

    def provenance(self) -> dict[str, Any]:
        """Describe the tokenizer for a corpus's manifest."""
        if self.tokenizer is None:
            return {"name": "bytes", "vocabulary_size": VOCABULARY_SIZE, "end_of_document": END_OF_DOCUMENT}
        return {
            "name": self.tokenizer.name_or_path or type(self.tokenizer).__name__,
            "vocabulary_size": len(self.tokenizer),
            "end_of_document": self.end_of_document,
            "vocabulary_sha256": _vocabulary_hash(self.tokenizer),
        }


def is_tokenized_by(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the ids of a corpus are those of a tokenizer: the same vocabulary, not only one of equal size."""
    if is_byte_tokenizer(tokenizer):
        return corpus.tokenizer_name == "bytes"
    return bool(corpus.manifest["tokenizer"].get("vocabulary_sha256") == _vocabulary_hash(tokenizer))


def _vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    vocabulary = "".join(f"{token}\t{number}\n" for token, number in sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(vocabulary.encode(errors="surrogatepass")).hexdigest()
