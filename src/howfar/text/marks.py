"""The token that stands before a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.errors import TextError
from howfar.text.tokenizer import END_OF_DOCUMENT, is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHOSEN = "document_mark"
"""Where a tokenizer keeps the mark that was chosen: among what is saved with it."""


def choose_mark(tokenizer: PreTrainedTokenizerBase, mark: int | str) -> None:
    """Let this token stand before documents wherever a tokenizer is used from now on, saved and loaded too.

    Args:
        tokenizer: Of the model that reads the documents.
        mark: As for `document_mark`. An id may be written in digits where no token is called that.

    Raises:
        TextError: The tokenizer has no such token.
    """
    if isinstance(mark, str) and mark.isdecimal() and mark not in tokenizer.get_vocab():
        mark = int(mark)
    tokenizer.init_kwargs[_CHOSEN] = _checked(tokenizer, mark)


def chosen_mark(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The id of the token that `choose_mark` chose; None where nothing was chosen.

    Raises:
        TextError: What is saved with the tokenizer is none of its tokens.
    """
    chosen = tokenizer.init_kwargs.get(_CHOSEN)
    return None if chosen is None else _checked(tokenizer, chosen)


def unusual_mark(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The document mark, where it was chosen, or is an end of sequence for want of a beginning.

    Returns:
        The token; None where it is what the tokenizer itself puts before a text, or the byte tokenizer's own.
    """
    mark = document_mark(tokenizer)
    usual = [END_OF_DOCUMENT] if is_byte_tokenizer(tokenizer) else tokenizer("a")["input_ids"][:1]
    if usual == [mark]:
        return None
    return str(tokenizer.convert_ids_to_tokens(mark))


def behind(model: str, mark: str | None) -> str:
    """A model's name, with the mark that it reads behind where `unusual_mark` gives one."""
    return f"{model} behind the mark {mark}" if mark else model


def document_mark(tokenizer: PreTrainedTokenizerBase, mark: int | str | None = None) -> int:
    """The id of the token that stands before a document.

    Args:
        tokenizer: Of the model that reads the document.
        mark: A token's id, or the token as the vocabulary has it (`"<|endoftext|>"`). Where None, what `choose_mark`
            chose, else what the tokenizer itself puts before a text, else its end of sequence. A chat model's end of
            sequence may be the end of a turn (`<|im_end|>`), which stood between no documents: choose another there.

    Raises:
        TextError: The tokenizer has no such token, or none to choose.
    """
    if mark is not None:
        return _checked(tokenizer, mark)
    if (chosen := chosen_mark(tokenizer)) is not None:
        return chosen
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and tokenizer("a")["input_ids"][:1] == [begin]:
        return int(begin)
    found = begin if end is None else end
    if found is None:
        raise TextError("the tokenizer has no token to begin a document with; set its eos_token, or choose a mark")
    return int(found)


def _checked(tokenizer: PreTrainedTokenizerBase, mark: int | str) -> int:
    token_id = tokenizer.get_vocab().get(mark) if isinstance(mark, str) else mark
    if type(token_id) is not int or not 0 <= token_id < len(tokenizer):
        raise TextError(
            f"the tokenizer has no token {mark!r} to begin a document with; choose one of its special tokens "
            f"({', '.join(tokenizer.all_special_tokens) or 'it has none'}), or an id below {len(tokenizer)}"
        )
    return token_id
