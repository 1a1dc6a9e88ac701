"""A tokenizer of one's own: trained on a corpus, it encodes any text, and a model is trained with it from scratch."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

import howfar
from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.corpus.subwords import write_subword_tokenizer
from howfar.errors import ConfigError, CorpusError, OutputError
from howfar.text.marks import document_mark
from howfar.text.spans import byte_spans_of_tokens
from howfar.text.tokenizer import END_OF_DOCUMENT_TEXT, subword_tokenizer

TEXTS = [f"The keeper of lighthouse {number} counted the ships. 灯塔立在岩石上。" for number in range(60)]
SIZE = 300


def corpus_of(folder: Path, texts: list[str], **options: object) -> Corpus:
    source = folder / "texts.txt"
    source.write_text("\n\n".join(texts), encoding="utf-8")
    name = f"corpus-{len(list(folder.iterdir()))}"
    return build_corpus(folder / name, [parse_source(str(source))], BuildOptions(**options), progress=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return corpus_of(tmp_path, TEXTS, held_out_documents=12)


def test_it_encodes_any_text_and_ends_documents(corpus: Corpus, tmp_path: Path) -> None:
    read = write_subword_tokenizer(tmp_path / "bpe", corpus, vocabulary_size=SIZE)
    assert read == int(corpus.train.num_bytes.sum())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bpe")
    assert len(tokenizer) == SIZE
    assert document_mark(tokenizer) == tokenizer.get_vocab()[END_OF_DOCUMENT_TEXT] == SIZE - 1
    for text in (TEXTS[0], "另一本书 é 😀\t\x00\r\n", f"plain {END_OF_DOCUMENT_TEXT} text"):
        spans = byte_spans_of_tokens(tokenizer, text)
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert spans.byte_spans[-1, 1] == len(text.encode())
        assert SIZE - 1 not in ids
    assert len(tokenizer(TEXTS[0])["input_ids"]) < len(TEXTS[0].encode()) / 2


def test_the_same_text_gives_the_same_tokenizer(corpus: Corpus, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_subword_tokenizer(tmp_path / name, corpus, vocabulary_size=SIZE)
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    forward, backward = (subword_tokenizer(texts, SIZE) for texts in (TEXTS, TEXTS[::-1]))
    assert forward.backend_tokenizer.to_str() == backward.backend_tokenizer.to_str()


def test_held_out_documents_and_more_than_asked_are_not_read(tmp_path: Path) -> None:
    common = [f"abab cdcd {number}" for number in range(20)]
    corpus = corpus_of(tmp_path, ["qxqx " * 50, *common], held_out_documents=1)
    write_subword_tokenizer(tmp_path / "bpe", corpus, vocabulary_size=260)
    assert "qx" not in AutoTokenizer.from_pretrained(tmp_path / "bpe").get_vocab()
    half = int(corpus.train.num_bytes.sum()) // 2
    assert (
        half - 20
        < write_subword_tokenizer(tmp_path / "half", corpus, vocabulary_size=258, max_bytes=half + 1)
        < half + 20
    )


def test_each_of_two_sources_that_take_turns_is_read(tmp_path: Path) -> None:
    """Half of the text: every second document is of one source."""
    sources = []
    for letter in "xy":
        file = tmp_path / f"{letter}.txt"
        file.write_text("\n\n".join(f"q{letter}q{letter} {number:03}" for number in range(200)))
        sources.append(parse_source(str(file)))
    options = BuildOptions(balance="documents", held_out_documents=1)
    corpus = build_corpus(tmp_path / "corpus", sources, options, progress=False)
    half = int(corpus.train.num_bytes.sum()) // 2
    write_subword_tokenizer(tmp_path / "bpe", corpus, vocabulary_size=270, max_bytes=half)
    assert {"qx", "qy"} <= set(AutoTokenizer.from_pretrained(tmp_path / "bpe").get_vocab())


def test_what_cannot_be_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "bpe"
    with pytest.raises(ConfigError, match="the vocabulary has 257 ids; give more than the 257 of bytes"):
        write_subword_tokenizer(out, corpus, vocabulary_size=257)
    with pytest.raises(ConfigError, match=r"too few pairs that occur twice for 99,999 ids; .* at most \d+ ids"):
        write_subword_tokenizer(out, corpus, vocabulary_size=99_999)
    with pytest.raises(ConfigError, match="at most 0 bytes of text would be read"):
        write_subword_tokenizer(out, corpus, max_bytes=0)
    with pytest.raises(CorpusError, match="has no training documents"):
        write_subword_tokenizer(out, corpus_of(tmp_path, TEXTS, held_out_fraction=1), vocabulary_size=SIZE)
    assert not out.exists()
    write_subword_tokenizer(out, corpus, vocabulary_size=SIZE)
    with pytest.raises(OutputError):
        write_subword_tokenizer(out, corpus, vocabulary_size=SIZE)
    source = parse_source(str(tmp_path / "texts.txt"))
    of_subwords = build_corpus(
        tmp_path / "subwords", [source], tokenizer=AutoTokenizer.from_pretrained(out), progress=False
    )
    with pytest.raises(CorpusError, match=r"is tokenized by .*; name one of bytes"):
        write_subword_tokenizer(tmp_path / "other", of_subwords)


def test_a_trace_of_a_model_of_subwords_spells_its_text(corpus: Corpus, tmp_path: Path) -> None:
    from howfar.models.configuration import HowFarConfig
    from howfar.models.modeling import HowFarForCausalLM

    write_subword_tokenizer(tmp_path / "bpe", corpus, vocabulary_size=SIZE)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = HowFarForCausalLM(HowFarConfig(vocab_size=SIZE, increments={"start": "random"}, **sizes)).eval()
    trace = howfar.trace(model, TEXTS[0], AutoTokenizer.from_pretrained(tmp_path / "bpe"))
    assert np.array_equal(trace.token_bytes[1:, 0], trace.token_bytes[:-1, 1])
    assert trace.token_bytes[-1, 1] == len(TEXTS[0].encode())
