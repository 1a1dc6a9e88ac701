from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from howfar.corpus.encoding import DocumentEncoder
from howfar.errors import TextError
from howfar.text.marks import document_mark
from howfar.text.spans import (
    byte_spans_of_tokens,
    character_of_byte,
    token_bytes,
    utf16_places,
)
from howfar.text.tokenizer import byte_tokenizer

TEXTS = [
    "Once upon a time, 中文 and 😀 and é.",
    " leading",
    "two  spaces\n\n\tand tabs ",
    "\u2581marker <0xE4> <s>",
    "中",
    "e\u0301\u200d",
    "",
]


def gpt2_like() -> PreTrainedTokenizerFast:
    """Byte-level BPE with merges over words, and over parts of Chinese characters."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(["and " * 9 + "中 丰 " * 9], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """Byte-fallback BPE with a space marker, a dummy space before the text and a beginning of sequence."""
    pieces = ["<unk>", "<s>", *[f"<0x{value:02X}>" for value in range(256)]]
    pieces += ["\u2581", *"abcdefghijklmnopqrstuvwxyz.,", "an", "\u2581an", "\u2581and"]
    merges = [("a", "n"), ("\u2581", "an"), ("\u2581an", "d")]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")


def case_folding() -> PreTrainedTokenizerFast:
    """A word-level tokenizer that lowercases and drops spaces: its tokens do not spell the text."""
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1, "world": 2}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def pieces_of(tokenizer, text, **options):
    spans = byte_spans_of_tokens(tokenizer, text, **options).byte_spans
    return [text.encode()[start:end] for start, end in spans.tolist()]


@pytest.mark.parametrize("make", [byte_tokenizer, gpt2_like, sentencepiece_like])
@pytest.mark.parametrize("text", TEXTS)
def test_the_spans_of_a_lossless_tokenizer_cover_the_text_in_order(make, text):
    assert b"".join(pieces_of(make(), text)) == text.encode()


LOSSLESS = {make.__name__: make() for make in (byte_tokenizer, gpt2_like, sentencepiece_like)}


@settings(deadline=None)
@given(st.sampled_from(sorted(LOSSLESS)), st.text("and \u2581中丰é😀\n\u0301\u2028", max_size=20))
def test_any_text_is_covered_in_order(name, text):
    assert b"".join(pieces_of(LOSSLESS[name], text)) == text.encode()


def test_byte_level_tokens_that_split_a_character_are_exact_to_the_byte():
    tokenizer = gpt2_like()
    pieces = pieces_of(tokenizer, "and 中丰")
    assert pieces == token_bytes(tokenizer, tokenizer("and 中丰")["input_ids"])
    assert any(len(piece) > 1 and piece.isascii() for piece in pieces)
    assert any(not _is_text(piece) for piece in pieces)


def test_byte_fallback_space_marker_and_dummy_space():
    assert pieces_of(sentencepiece_like(), "and and中.") == [b"and", b" and", b"\xe4", b"\xb8", b"\xad", b"."]


def test_special_tokens_have_empty_spans():
    tokenizer = sentencepiece_like()
    tokenizer.backend_tokenizer.post_processor = _put_before("<s>", 1)
    assert pieces_of(tokenizer, "and", add_special_tokens=True) == [b"", b"and"]
    assert pieces_of(tokenizer, "and") == [b"and"]


@pytest.mark.parametrize("make", [sentencepiece_like, ByT5Tokenizer])
def test_text_that_looks_like_a_special_token_is_plain_text_as_in_a_corpus(make):
    tokenizer = make()
    tokenizer.add_special_tokens({"eos_token": "<s>"})
    token_ids = byte_spans_of_tokens(tokenizer, "and<s>an").token_ids
    assert token_ids.tolist() == DocumentEncoder(tokenizer).encode(b"and<s>an")[:-1].tolist()
    assert not set(token_ids) & set(tokenizer.all_special_ids)
    assert pieces_of(tokenizer, "and<s>an")[-5:-2] == [b"<", b"s", b">"] or make is sentencepiece_like


def test_threads_that_look_for_the_mark_do_not_change_how_others_tokenize():
    tokenizer = sentencepiece_like()
    text = "and<s>an " * 300
    with ThreadPoolExecutor(2) as pool:
        marks = [pool.submit(document_mark, tokenizer) for _ in range(300)]
        read = {tuple(byte_spans_of_tokens(tokenizer, text).token_ids.tolist()) for _ in range(100)}
    assert {mark.result() for mark in marks} == {tokenizer.bos_token_id}
    assert len(read) == 1


def test_a_tokenizer_that_does_not_spell_the_text_is_read_by_its_offsets():
    text = "Héllo  WORLD"
    assert pieces_of(case_folding(), text) == ["Héllo".encode(), b"WORLD"]


def test_tokens_without_spelling_or_offsets_are_refused():
    class Slow:
        is_fast = False
        all_special_ids = ()

        def __call__(self, text, **options):
            return {"input_ids": [0]}

        def get_vocab(self):
            return {}

        def convert_ids_to_tokens(self, token_id):
            return "other"

    with pytest.raises(TextError, match=r"the tokens of Slow do not spell the text.*use a fast tokenizer"):
        byte_spans_of_tokens(Slow(), "text")


def test_characters_of_bytes():
    assert character_of_byte("a中😀b").tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 3]


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _put_before(token: str, token_id: int):
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single=f"{token} $A", special_tokens=[(token, token_id)])


def test_places_in_javascripts_strings_count_an_emoji_twice():
    assert utf16_places("a😀é文b").tolist() == [0, 1, 3, 4, 5, 6]
    assert utf16_places("").tolist() == [0]
