"""What a model has read: the very windows of its training, or a sample where that is not known."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from howfar.corpus.corpus import Corpus
from howfar.corpus.windows import Windows
from howfar.measures.seen import blocks_seen, windows_seen
from howfar.text.tokenizer import byte_tokenizer
from support.lookup import lookup_model


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus(zh=([f"第{number}个字" * 20 for number in range(30)], ["字"]))


def trained(folder: Path, hash: str, steps: int = 3) -> None:
    record = {"corpus": {"hash": hash}, "step": steps, "windows_per_step": 2}
    record["recipe"] = {"seed": 7, "model": {"max_position_embeddings": 40}}
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")


def text_of(corpus: Corpus, numbers: range) -> str:
    windows = Windows(corpus.train, 40, 7, 6)
    parts = (bytes(token & 255 for token in windows[number].tolist()) for number in numbers)
    return "\0".join(part.decode("utf-8", "replace") for part in parts)


def test_the_very_windows_of_the_training(corpus: Corpus, tmp_path: Path) -> None:
    model = lookup_model({})
    model.name_or_path = str(tmp_path)
    trained(tmp_path, corpus.hash)
    (block,) = blocks_seen(model, corpus, byte_tokenizer(), num_tokens=10**6)
    assert block == text_of(corpus, range(6))
    (less,) = blocks_seen(model, corpus, byte_tokenizer(), num_tokens=100)
    assert less == text_of(corpus, range(2))


def changed(folder: Path, **recipe: object) -> None:
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    record["recipe"] = {"seed": 7, **recipe}
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_recipe_that_leaves_the_length_to_the_default(corpus: Corpus, tmp_path: Path) -> None:
    model = lookup_model({})
    model.name_or_path = str(tmp_path)
    trained(tmp_path, corpus.hash)
    changed(tmp_path, model={})
    windows = windows_seen(model, corpus)
    assert windows is not None
    assert (len(windows), windows.length) == (6, 512)


def test_a_graft_has_read_other_text_too(corpus: Corpus, tmp_path: Path) -> None:
    model = lookup_model({})
    model.name_or_path = str(tmp_path)
    trained(tmp_path, corpus.hash)
    changed(tmp_path, base="other", context=40)
    assert windows_seen(model, corpus) is None


@pytest.mark.parametrize("record", [None, "{", "[]", '{"corpus": {}}', '{"corpus": {"hash": "another"}}'])
def test_a_sample_where_the_record_does_not_say(corpus: Corpus, tmp_path: Path, record: str | None) -> None:
    model = lookup_model({})
    model.name_or_path = str(tmp_path) if record else ""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "training.json").write_text(record or "", encoding="utf-8")
    assert windows_seen(model, corpus) is None
    sample = "".join(blocks_seen(model, corpus, byte_tokenizer(), num_tokens=10**6))
    assert sample.count("个") == 600
