"""Passages with extreme increments, of models whose increments are known, and against sorting all tokens."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NoIncrementsError, NotMeasurableError
from howfar.measures import contexts as module
from howfar.measures.contexts import contexts, passages, rows
from howfar.measures.documents import Document
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig, attach
from howfar.reading import trace
from howfar.text.classes import ByteClass, classes_of_bytes
from howfar.text.spans import token_bytes
from support.copying import copying_model
from support.grafts import make_tokenizer
from support.lookup import lookup_model
from support.models import stir, tiny

WORDS = (
    "the cat sat on a mat and looked at birds near old trees 猫坐在树上 while small dogs slept in 1999 (warm) grass."
)


def random_texts(count: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS.split(), size=30)) for _ in range(count)]


def random_model(**options: object) -> HowFarForCausalLM:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
        "increments": {"scope": "per_layer", "start": "random", **options},
    }
    torch.manual_seed(0)
    return HowFarForCausalLM(HowFarConfig(**sizes)).eval()


def passages_of(table: pl.DataFrame, kind: str, layer: int | None = 1, head: int = 0) -> list[dict]:
    chosen = table.filter(pl.col("kind") == kind, pl.col("layer").eq_missing(layer), pl.col("head") == head)
    return chosen.sort("rank").to_dicts()


def test_the_passages_are_where_the_increments_are() -> None:
    table = contexts(lookup_model({}, {ord("q"): 5.0, ord("z"): 0.25}), ["one quite odd text", "an azure", "nothing"])
    (first, *others), smallest = passages_of(table, "largest"), passages_of(table, "smallest")[0]
    assert (first["left"], first["scored"], first["right"]) == ("one ", "q", "uite odd text")
    assert (first["increment"], first["document"], first["character"], first["token_id"]) == (5.0, 0, 4, ord("q"))
    assert {row["increment"] for row in others} == {1.0}
    assert (smallest["left"], smallest["scored"], smallest["right"]) == ("an a", "z", "ure")
    assert (smallest["increment"], smallest["document"], smallest["rank"]) == (0.25, 1, 1)


def test_a_byte_of_a_longer_character_is_named() -> None:
    middle = "树".encode()[1]
    row = passages_of(contexts(lookup_model({}, {middle: 3.0}), ["大猫坐在树上"]), "largest")[0]
    assert (row["left"], row["scored"], row["right"]) == ("大猫坐在", "树", "上")
    assert (row["byte"], row["token_id"], row["token_hex"], row["class"]) == (2, middle, "A0", "cjk_continuation")


def test_what_is_unlike_its_class_is_found_where_it_is_not_extreme() -> None:
    """A semicolon of 4 is nothing beside letters of 8, but unlike other punctuation."""
    texts = ["abcd, bcda, cdab, dabc,", "dcba; abcd, dbca,"] * 20
    table = contexts(lookup_model({}, {ord(letter): 8.0 for letter in "abcd"} | {ord(";"): 4.0}), texts)
    row = passages_of(table, "above its class")[0]
    marks = np.array([1.0] * (6 * 20) + [4.0] * 20)
    assert (row["scored"], row["class"], row["num_tokens"]) == (";", "other_punctuation", len(marks))
    assert row["increment"] == pytest.approx(4.0)
    assert row["class_mean"] == pytest.approx(marks.mean())
    assert row["class_sd"] == pytest.approx(marks.std())
    assert row["deviation"] == pytest.approx((4.0 - marks.mean()) / marks.std())
    assert passages_of(table, "largest")[0]["increment"] == 8.0
    assert passages_of(table, "below its class")[0]["scored"] == ","


def test_a_class_that_is_rare_or_always_the_same_predicts_nothing() -> None:
    texts = ["ab ab"] * 200  # spaces have no spread
    table = contexts(lookup_model({}, {ord("a"): 2.0, ord(" "): 3.0, ord(";"): 4.0}), [*texts, "a; b, c."])
    unlike = table.filter(pl.col("kind").str.contains("class"))
    assert unlike["class"].unique().to_list() == ["lowercase"]
    marks = table.filter(pl.col("class").is_in(["other_punctuation", "space"]), pl.col("rank").is_not_null())
    assert len(marks) > 0
    assert marks["deviation"].null_count() == len(marks)


def naive_largest(model: HowFarForCausalLM, texts: list[str], sign: int, num: int) -> list[tuple[int, int, int]]:
    """Document, character and token of the extremes of layer 1: all tokens sorted, near-duplicates passed over.

    Of one character, only the most extreme byte counts.
    """
    found = []
    for document, text in enumerate(texts):
        traced, data = trace(model, text), text.encode()
        for token, increment in enumerate(traced.increments[1, 0].tolist()):
            character = len(data[: token + 1].decode(errors="ignore").encode()) <= token
            index = len(data[: token + 1].decode(errors="ignore")) - (0 if character else 1)
            nearby = "".join("0" if c.isdigit() else c.lower() for c in text[max(0, index - 3) : index + 1])
            key = (nearby, token - len(text[:index].encode()))
            found.append((sign * increment, document, index, data[token], key))
    chosen, seen = [], set()
    for _, document, index, byte, key in sorted(found, key=lambda entry: -entry[0]):
        if not seen & {key, (document, index)}:
            chosen.append((document, index, byte))
            seen |= {key, (document, index)}
    return chosen[:num]


@pytest.mark.parametrize(("kind", "sign"), [("largest", 1), ("smallest", -1)])
def test_one_pass_finds_what_sorting_all_tokens_finds(kind: str, sign: int) -> None:
    model, texts = random_model(), random_texts(12)
    table = contexts(model, texts, num_passages=6, per_document=10_000, width=1)
    found = [(row["document"], row["character"], row["token_id"]) for row in passages_of(table, kind)]
    assert found == naive_largest(model, texts, sign, 6)


def test_class_statistics_are_those_of_all_tokens() -> None:
    model, texts = random_model(), random_texts(12)
    row = passages_of(contexts(model, texts), "largest")[0]
    traces = [trace(model, text) for text in texts]
    increments = np.concatenate([traced.increments[1, 0] for traced in traces]).astype(np.float64)
    own = increments[np.concatenate([classes_of_bytes(t.token_ids) for t in traces]) == ByteClass[row["class"].upper()]]
    assert row["num_tokens"] == len(own)
    assert (row["class_mean"], row["class_sd"]) == pytest.approx((own.mean(), own.std()), abs=1e-6)


def test_the_distribution_ranks_any_increment() -> None:
    model, texts = random_model(), random_texts(12)
    table = contexts(model, texts).filter(kind="distribution", layer=1).filter(pl.col("class") == "all")
    increments = np.concatenate([trace(model, text).increments[1, 0] for text in texts])
    assert table["num_tokens"].to_list() == [len(increments)] * len(rows.SHARES)
    for share, increment in table.select("share", "increment").iter_rows():
        assert (increments <= increment).mean() == pytest.approx(share, abs=0.01)


def test_few_passages_are_of_one_document_and_none_overlap() -> None:
    """But for the first layer, in which the token decides and a passage is an example of it."""
    table = contexts(random_model(), random_texts(6), num_passages=9, per_document=2, width=30).filter(layer=1)
    for (_, _, _), own in table.filter(pl.col("rank").is_not_null()).group_by("kind", "layer", "head"):
        assert own["document"].value_counts()["count"].max() <= 2
        for (_,), of_document in own.group_by("document"):
            places = of_document["character"].sort().to_list()
            assert all(second - first >= 30 for first, second in pairwise(places))


def test_near_duplicates_are_found_once() -> None:
    texts = [f"In 19{number} the Queue was long" for number in range(10, 40)]
    table = contexts(lookup_model({}, {ord("Q"): 5.0, ord("9"): 4.0}), texts)
    assert [row["scored"] for row in passages_of(table, "largest") if row["increment"] > 1] == ["Q", "9"]


def test_near_duplicates_may_differ_in_the_case_or_digit_that_is_scored() -> None:
    digits = {ord(str(digit)): 4.0 + digit / 10 for digit in range(10)}
    texts = [f"It was in 199{number}" for number in range(10)] + ["a queer queue", "A QUEER QUEUE"]
    table = contexts(lookup_model({}, {**digits, ord("q"): 5.0, ord("Q"): 6.0}), texts)
    found = [(row["left"] + row["scored"], row["increment"]) for row in passages_of(table, "largest")]
    # Before the digits of one number are other characters.
    assert [text for text, increment in found if increment > 5] == ["A Q"]
    nines = [text for text, increment in found if 4 < increment < 5]
    assert sorted(nines) == ["It was in 19", "It was in 199", "It was in 1999"]


def test_subwords_that_differ_in_case_or_digits_are_near_duplicates() -> None:
    texts = ["seen in 12", "seen IN 34", "seen is 12"]
    cut = np.array([[0, 5], [5, 8], [8, 10]])
    keys = []
    for text in texts:
        read = replace(trace(lookup_model({}), "abc"), text=text, token_bytes=cut, token_ids=np.arange(3) + len(keys))
        section = passages.Section(text, 0, 0, Document(text, "text", 0))
        traced = passages.Traced(section, read, np.zeros(3, dtype=np.uint8), 60)
        keys.append([traced.key(token) for token in range(3)])
    assert keys[0] == keys[1]
    assert keys[0][0] == keys[2][0]
    assert keys[0][1] != keys[2][1]


def test_where_the_token_decides_each_token_is_found_once() -> None:
    texts = random_texts(12)
    table = contexts(random_model(), texts)
    rows = passages_of(table, "largest", layer=0)
    assert len({row["token_id"] for row in rows}) == len(rows) > 10
    shared = contexts(random_model(scope="shared"), texts)
    rows = passages_of(shared, "largest", layer=None)
    assert len({row["token_id"] for row in rows}) == len(rows) > 10


def test_each_head_has_its_passages() -> None:
    table = contexts(
        lookup_model([{ord("q"): 5.0}, {ord("x"): 5.0}], [{ord("q"): 5.0}, {ord("x"): 5.0}]), ["a q", "x b"]
    )
    assert [passages_of(table, "largest", head=head)[0]["scored"] for head in (0, 1)] == ["q", "x"]


def test_a_long_document_is_read_in_sections_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    text = random_texts(1)[0] * 6
    whole = contexts(random_model(), [text], per_document=10_000, width=1)
    monkeypatch.setattr(module, "sections_of", lambda documents, context: passages.sections_of(documents, context, 100))
    in_sections = contexts(random_model(), [text], per_document=10_000, width=1)
    of_all = (pl.col("kind") == "distribution") & (pl.col("class") == "all")
    assert in_sections.filter(of_all)["num_tokens"].max() == whole.filter(of_all)["num_tokens"].max()
    first = (row := passages_of(in_sections, "largest")[0])["character"]
    assert text[first] == row["scored"]
    assert text[:first].endswith(row["left"])


def test_sections_cover_a_document_once() -> None:
    documents = [Document("abcdefghij", "en", 3), Document("", "en", 4), Document("kl", "zh", 5)]
    found = list(passages.sections_of(documents, context=3, length=4))
    assert [(s.text, s.lead, s.start, s.document.number) for s in found] == [
        ("abcd", 0, 0, 3),
        ("bcdefgh", 3, 1, 3),
        ("fghij", 3, 5, 3),
        ("kl", 0, 0, 5),
    ]


def test_subword_tokens_are_shown_whole() -> None:
    tokenizer = make_tokenizer()
    model = tiny(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    stir(attach(model, IncrementConfig(scope="per_layer")))
    texts = random_texts(12)
    for row in passages_of(contexts(model, texts, tokenizer=tokenizer), "largest"):
        text = texts[row["document"]]
        token = bytes.fromhex(row["token_hex"])
        assert row["scored"].encode()[row["byte"] - 1 :].startswith(token)
        assert token_bytes(tokenizer, [row["token_id"]]) == [token]
        assert text[row["character"] :].startswith(row["scored"] + row["right"])
    assert "word_start" in set(contexts(model, texts, tokenizer=tokenizer)["class"])


def test_a_corpus_says_where_a_passage_is(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(en=(["nothing"], ["one quite odd text"]), zh=(["無"], ["一 q 二"]))
    rows = passages_of(contexts(lookup_model({}, {ord("q"): 5.0}), corpus), "largest")[:2]
    assert {(row["source"], row["document"], row["scored"]) for row in rows} == {("en", 0, "q"), ("zh", 1, "q")}


def test_it_says_how_far_it_is_and_reads_no_more_than_asked() -> None:
    calls: list[tuple[int, int]] = []
    texts = [f"text number {number}" for number in range(10)]
    table = contexts(
        lookup_model({}, {}), texts, num_documents=4, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert set(table["document"].drop_nulls()) <= {0, 3, 6, 9}
    calls.clear()
    contexts(lookup_model({}, {}), (text for text in texts), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10, 10)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(NoIncrementsError):
        contexts(copying_model(increments=None), ["text"])
    with pytest.raises(NotMeasurableError, match="no text"):
        contexts(copying_model(), ["", ""])
    for wrong in ({"num_passages": 0}, {"per_document": 0}, {"width": 0}, {"num_documents": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is 0"):
            contexts(copying_model(), ["text"], **wrong)
