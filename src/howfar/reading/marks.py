"""The token that stands before a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.errors import TextError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def document_mark(tokenizer: PreTrainedTokenizerBase, mark: int | str | None = None) -> int:
    """The id of the token that stands before a document.

    Args:
        tokenizer: Of the model that reads the document.
        mark: A token's id, or the token as the vocabulary has it (`"<|endoftext|>"`). Where None, what the tokenizer
            itself puts before a text, else its end of sequence. A chat model's end of sequence may be the end of a turn
            (`<|im_end|>`), which is not what its documents were parted by: choose another mark there.

    Raises:
        TextError: The tokenizer has no such token, or none to choose.
    """
    if mark is not None:
        return _chosen(tokenizer, mark)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and tokenizer("a")["input_ids"][:1] == [begin]:
        return int(begin)
    found = begin if end is None else end
    if found is None:
        raise TextError("the tokenizer has no token to begin a document with; set its eos_token, or choose a mark")
    return int(found)


def _chosen(tokenizer: PreTrainedTokenizerBase, mark: int | str) -> int:
    vocabulary = tokenizer.get_vocab()
    token_id = vocabulary.get(mark) if isinstance(mark, str) else mark
    if token_id is None or not 0 <= token_id < len(tokenizer):
        raise TextError(
            f"the tokenizer has no token {mark!r} to begin a document with; choose one of its special tokens "
            f"({', '.join(tokenizer.all_special_tokens) or 'it has none'}), or an id below {len(tokenizer)}"
        )
    return int(token_id)
