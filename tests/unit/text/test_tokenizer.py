import pytest
from transformers import AutoTokenizer

from howfar.errors import TextError
from howfar.text.tokenizer import (
    END_OF_DOCUMENT,
    byte_tokenizer,
    is_byte_tokenizer,
    utf8_bytes,
)

TEXTS = [
    "",
    "a",
    " leading and  double ",
    "é中文😀",
    "\x00\r\n\t",
    "a<|endofdocument|>b",
    "e\u0301 \u05d0\u05d1 \u202e",
]


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_byte_values(tokenizer, text):
    assert tokenizer(text)["input_ids"] == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text


def test_end_of_document_ends_and_pads_and_is_never_read_from_text(tokenizer):
    assert len(tokenizer) == 257
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == END_OF_DOCUMENT
    assert END_OF_DOCUMENT not in tokenizer("<|endofdocument|>")["input_ids"]
    assert tokenizer.decode([65, END_OF_DOCUMENT], skip_special_tokens=True) == "A"


def test_batches_are_padded_with_the_end_of_document(tokenizer):
    batch = tokenizer(["abc", "a"], padding=True)
    assert batch["input_ids"] == [[97, 98, 99], [97, 256, 256]]
    assert batch["attention_mask"] == [[1, 1, 1], [1, 0, 0]]


def test_offsets_are_the_characters_of_the_bytes(tokenizer):
    offsets = tokenizer("a中b", return_offsets_mapping=True)["offset_mapping"]
    assert offsets == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]


def test_saves_and_loads_through_auto_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert is_byte_tokenizer(loaded)
    assert loaded.eos_token_id == END_OF_DOCUMENT
    for text in TEXTS:
        assert loaded(text)["input_ids"] == list(text.encode())
        assert loaded.decode(list(text.encode())) == text


def test_long_text_is_not_cut(tokenizer):
    text = "中" * 5000
    assert len(tokenizer(text)["input_ids"]) == 15000


def test_lone_surrogate_is_refused_with_its_position():
    with pytest.raises(TextError, match=r"lone surrogate \(U\+D83D\) at character 2.*remove it"):
        utf8_bytes("ab\ud83dc")
