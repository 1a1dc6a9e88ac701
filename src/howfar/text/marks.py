"""The document mark: the token before a document, and after each document of a corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.errors import ConfigError, TextError
from howfar.text.tokenizer import END_OF_DOCUMENT, END_OF_DOCUMENT_TEXT, is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHOSEN = "document_mark"
"""Key in a tokenizer's saved settings that keeps the chosen mark."""


def choose_mark(tokenizer: PreTrainedTokenizerBase, mark: int | str) -> None:
    """Choose the document mark for all further uses of a tokenizer, also after it is saved and loaded.

    Args:
        tokenizer: The tokenizer of the model that reads the documents.
        mark: As for `document_mark`. A string of digits is an id unless it is itself a token.

    Raises:
        TextError: The tokenizer has no such token.
    """
    if isinstance(mark, str) and mark.isdecimal() and mark not in tokenizer.get_vocab():
        mark = int(mark)
    tokenizer.init_kwargs[_CHOSEN] = _checked(tokenizer, mark)


def chosen_mark(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The id of the token that `choose_mark` chose; None if it was not called.

    Raises:
        TextError: The saved mark is not one of the tokenizer's tokens.
    """
    chosen = tokenizer.init_kwargs.get(_CHOSEN)
    return None if chosen is None else _checked(tokenizer, chosen)


def unusual_mark(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The document mark if it is not the tokenizer's usual one: a chosen token, or an end of sequence.

    Returns:
        The token; None if the tokenizer itself puts it before a text, or if it is the end of document of our own
        tokenizers.
    """
    mark = document_mark(tokenizer)
    is_ours = tokenizer.eos_token == END_OF_DOCUMENT_TEXT
    if (tokenizer.eos_token_id if is_ours else _first_token(tokenizer)) == mark:
        return None
    return str(tokenizer.convert_ids_to_tokens(mark))


def name_with_mark(model: str, mark: str | None) -> str:
    """A model's name, with its mark from `unusual_mark`, if there is one."""
    return f"{model} with the document mark {mark}" if mark else model


def document_mark(tokenizer: PreTrainedTokenizerBase, mark: int | str | None = None) -> int:
    """The id of the token before a document.

    Args:
        tokenizer: The tokenizer of the model that reads the document.
        mark: A token's id, or the token as the vocabulary spells it (`"<|endoftext|>"`). Where None, the token from
            `choose_mark`, else the one that the tokenizer itself puts before a text, else its end of sequence. A chat
            model's end of sequence may be the end of a turn (`<|im_end|>`), which never separated documents in
            training: choose another token for such a model.

    Raises:
        TextError: The tokenizer has no such token, or neither a beginning nor an end of sequence.
    """
    if mark is not None:
        return _checked(tokenizer, mark)
    if (chosen := chosen_mark(tokenizer)) is not None:
        return chosen
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and _first_token(tokenizer) == begin:
        return int(begin)
    found = begin if end is None else end
    if found is None:
        raise TextError("the tokenizer has no token to begin a document with; set its eos_token, or choose a mark")
    return int(found)


def end_of_document(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token after each document of a corpus: the one from `choose_mark`, else the end of sequence.

    Raises:
        ConfigError: The tokenizer has no end of sequence, and no other token was chosen.
    """
    if is_byte_tokenizer(tokenizer):
        return END_OF_DOCUMENT
    chosen = chosen_mark(tokenizer)
    end = tokenizer.eos_token_id if chosen is None else chosen
    if end is None:
        raise ConfigError("the tokenizer has no end-of-sequence token to separate documents; set its eos_token")
    return int(end)


def take_mark(tokenizer: PreTrainedTokenizerBase, end: int) -> None:
    """Choose the token after each document of a corpus as the mark, if the tokenizer has it and another one."""
    if end_of_document(tokenizer) != end < len(tokenizer):
        choose_mark(tokenizer, end)


def _first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first token of a text with the special tokens that the tokenizer adds."""
    # As texts are tokenized: the option is kept in the tokenizer, where another value would reach other threads.
    return next(iter(tokenizer("a", split_special_tokens=True)["input_ids"]), None)


def _checked(tokenizer: PreTrainedTokenizerBase, mark: int | str) -> int:
    token_id = tokenizer.get_vocab().get(mark) if isinstance(mark, str) else mark
    if type(token_id) is not int or not 0 <= token_id < len(tokenizer):
        raise TextError(
            f"the tokenizer has no token {mark!r} to begin a document with; choose one of its special tokens "
            f"({', '.join(tokenizer.all_special_tokens) or 'it has none'}), or an id below {len(tokenizer)}"
        )
    return token_id
