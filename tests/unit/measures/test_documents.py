import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from howfar.corpus.build import build_corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.errors import NotMeasurableError, TextError
from howfar.measures.documents import Document, documents_of, sample_blocks


@pytest.fixture
def corpus(make_corpus):
    train = [f"第{i}篇文章。" + "字" * (50 + i) for i in range(40)]
    return make_corpus(zh=(train, ["甲乙", "丙丁"]), en=(["one two"], ["three"]))


def test_texts_are_numbered():
    assert list(documents_of(["a", "b"])) == [Document("a", "text", 0), Document("b", "text", 1)]


def test_one_string_is_not_a_list_of_its_characters():
    with pytest.raises(TextError, match="texts are needed, but this is one string; give a list of texts"):
        list(documents_of("a long text"))
    with pytest.raises(TextError, match="this is one string"):
        list(documents_of("a long text", num_documents=3))


def test_held_out_documents_of_a_corpus(corpus):
    assert {(document.text, document.source) for document in documents_of(corpus)} == {
        ("甲乙", "zh"),
        ("丙丁", "zh"),
        ("three", "en"),
    }


def test_one_source_only(corpus):
    documents = list(documents_of(corpus, source="zh"))
    assert [document.text for document in documents] == ["甲乙", "丙丁"]
    assert all(corpus.held_out.source_of(document.number) == "zh" for document in documents)


def test_an_unknown_source_is_refused(corpus):
    with pytest.raises(NotMeasurableError, match="no source 'fr'; it has zh, en"):
        list(documents_of(corpus, source="fr"))


def test_a_whole_corpus_is_sampled_whole(corpus):
    text = "".join(sample_blocks(corpus, num_tokens=10**9, num_blocks=7))
    assert sorted(text.strip("\0").split("\0")) == sorted(d.text for d in documents_of(corpus, split="train"))


def test_a_sample_is_bounded_and_spread(corpus):
    blocks = list(sample_blocks(corpus, num_tokens=2000, num_blocks=4))
    assert sum(len(block.encode()) for block in blocks) < 3500
    assert "第0篇" not in blocks[-1]
    assert all(block.endswith("\0") for block in blocks)


@pytest.mark.parametrize("num_documents", [11, 26, 51])
def test_each_of_two_sources_that_take_turns_has_its_share(tmp_path, num_documents):
    sources = []
    for letter, most in (("a", 51), ("b", 50)):
        file = tmp_path / f"{letter}.txt"
        file.write_text("\n\n".join(f"{letter} {number:03}" for number in range(most)))
        sources.append(parse_source(str(file)))
    options = BuildOptions(balance="documents", held_out_fraction=0.0)
    corpus = build_corpus(tmp_path / "corpus", sources, options, progress=False)
    found = list(documents_of(corpus, num_documents=num_documents, split="train"))
    assert abs(sum(document.source == "a" for document in found) - num_documents / 2) <= 1
    assert [document.number for document in found] == sorted({document.number for document in found})


def test_a_corpus_without_the_part_is_refused(make_corpus):
    corpus = make_corpus(en=(["only training"], []))
    with pytest.raises(NotMeasurableError, match="has no documents"):
        list(documents_of(corpus))


def prepending(way):
    """A tokenizer that puts a space before each text, as that of Llama 2 does."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    if way == "normalizer":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    special = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["a first document", " and another one"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("way", ["normalizer", "pre-tokenizer"])
@pytest.mark.parametrize("text", ["a first document", " and another", "  two spaces", "字 and bytes"])
def test_the_space_that_a_tokenizer_puts_before_a_text_is_not_part_of_it(tmp_path, way, text):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "b.txt").write_text("another document", encoding="utf-8")
    sources = [parse_source(f"en=files:{tmp_path / 'b.txt'},held_out=files:{tmp_path / 'a.txt'}")]
    tokenizer = prepending(way)
    corpus = build_corpus(tmp_path / "corpus", sources, BuildOptions(), tokenizer=tokenizer, progress=False)
    assert [document.text for document in documents_of(corpus, tokenizer)] == [text]
