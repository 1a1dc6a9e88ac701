"""Segmentation, of texts whose words are known to be told by the increments, by halves, or by nothing."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedModel

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.boundaries.gaps import Gaps, find_gaps
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.segmentation import segmentation
from howfar.measures.segmentation.choosing import Folds, decide, fixed, several
from howfar.measures.segmentation.contestants import entropy_rises, matched_rate
from howfar.measures.segmentation.rows import ENRICHMENT, Entry, rows_of
from howfar.measures.segmentation.states import read_states
from howfar.measures.segmentation.words import Words, best_threshold
from howfar.models.loading import load, tokenizer_of
from howfar.text.segmentation import Segmentation, word_segmentation
from support.copying import copying_model
from support.grafts import make_base
from support.lookup import lookup_model

FIRST, INNER = "一丁七", "唐唑唯"  # E4 …, and E5 …
LEADS = {0xE4: 3.0, 0xE5: 1.5}


def texts(num: int = 20, length: int = 30, error: float = 0.0, seed: int = 0, outside: str = "") -> list[Segmentation]:
    """Random words of characters that tell where words begin, but for a share of errors, behind other characters."""
    generator = random.Random(seed)
    found = []
    for _ in range(num):
        starts = [generator.random() < 0.4 for _ in range(length)]
        spelled = [start != (generator.random() < error) for start in starts]
        text = "".join((FIRST if start else INNER)[place % 3] for place, start in enumerate(spelled))
        boundaries = [place + len(outside) for place in range(length) if (starts[place] if place else outside)]
        found.append(Segmentation(outside + text, tuple(boundaries)))
    return found


def gaps_of(model: PreTrainedModel, documents: list[Segmentation]) -> Gaps:
    return find_gaps(model, documents, TARGETS["chinese-words"], tokenizer=tokenizer_of(model), max_gaps=10**6)


def gaps_and_words(documents: list[Segmentation]) -> tuple[Gaps, Words]:
    gaps = gaps_of(lookup_model(LEADS), documents)
    return gaps, Words.of(gaps)


def cut(documents: list[Segmentation], words: Words, chances: NDArray[np.float64]) -> dict[str, float]:
    return {name: counts.sum() for name, counts in words.counts(chances).items()}


def test_words_that_begin_with_a_space_in_a_subword_model_are_segmented(tmp_path: Path) -> None:
    model = load(make_base(tmp_path / "base"))
    generator = random.Random(0)
    lines = ["the " + " ".join(generator.choices(["cat", "mat", "trees", "looked"], k=12)) for _ in range(12)]
    documents = [word_segmentation(line) for line in lines]
    table = segmentation(model, documents, target="words", probed=False)
    assert table["num_boundaries"].unique().to_list() == [12 * 12]
    every = f1_of(table, "boundary recall", "every gap")
    assert (every["value"], every["n"]) == (1.0, 12)


def f1_of(table: pl.DataFrame, quantity: str, score: str, scored_at: str | None = None) -> dict[str, Any]:
    rows = table.filter(pl.col("scored_at").eq_missing(scored_at), quantity=quantity, score=score)
    return rows.row(0, named=True)


def measured(model: Any, documents: list[Segmentation], **options: Any) -> pl.DataFrame:
    return segmentation(model, documents, **{"probed": False, **options})


def test_sentences_of_a_document_are_no_independent_evidence() -> None:
    alone = texts(error=0.2)
    together = [replace(one, begins_document=begins) for one in alone for begins in (True, False, False)]
    expected, found = (measured(lookup_model(LEADS), documents) for documents in (alone, together))
    for quantity in ("boundary F1", "word F1"):
        one, other = (f1_of(table, quantity, "increment", "lead byte") for table in (expected, found))
        assert other["n"] == one["n"] == 20
        assert [other[name] for name in ("value", "low", "high")] == pytest.approx(
            [one[name] for name in ("value", "low", "high")]
        )


def test_increments_that_equal_the_gold_cut_it_perfectly_whatever_their_layer_and_direction() -> None:
    model = lookup_model({}, {0xE4: 1.0, 0xE5: 2.0}, {})
    table = measured(model, texts())
    for quantity in ("boundary F1", "boundary precision", "boundary recall", "word F1", "word precision"):
        row = f1_of(table, quantity, "increment", "lead byte")
        assert (row["value"], row["low"], row["high"]) == (1.0, 1.0, 1.0)
        assert row["chosen"] == "layer 1, smaller (5 of 5)"
    gain = f1_of(table, "boundary F1", "increment", "lead byte")
    assert gain["gain_low"] > 0.2
    assert gain["note"] is None
    assert gain["rate"] == pytest.approx(gain["num_boundaries"] / gain["num_gaps"])


def test_every_gap_has_the_f1_that_its_definition_gives_and_says_who_does_not_beat_it() -> None:
    documents = texts()
    table = measured(lookup_model({}), documents)
    gaps, _ = gaps_and_words(documents)
    share = gaps.is_boundary.mean()
    every = f1_of(table, "boundary F1", "every gap")
    assert every["value"] == pytest.approx(2 * share / (1 + share))
    singles = sum(len(unit) == 1 for document in documents for unit in document.units)
    num_words, num_characters = (
        sum(map(len, own)) for own in ([d.units for d in documents], [d.text for d in documents])
    )
    assert f1_of(table, "word F1", "every gap")["value"] == pytest.approx(2 * singles / (num_words + num_characters))
    nothing = f1_of(table, "boundary F1", "increment", "lead byte")
    assert nothing["note"] == "increment at the lead byte does not beat every gap in boundary F1"
    assert (nothing["gain"], nothing["rate"]) == (0.0, 1.0)


def test_random_cuts_have_their_analytic_f1() -> None:
    documents = texts(num=40)
    gaps, words = gaps_and_words(documents)
    chances = matched_rate(gaps, Folds.of(words))
    rate = gaps.is_boundary.mean()
    assert chances == pytest.approx(rate, abs=0.02)
    even = np.full(len(gaps), rate)
    counts = cut(documents, words, even)
    assert 2 * counts["boundary right"] / (counts["boundary found"] + counts["boundary true"]) == pytest.approx(rate)
    generator = np.random.default_rng(0)
    drawn = [cut(documents, words, (generator.random(len(gaps)) < rate).astype(float)) for _ in range(300)]
    for name, expected in counts.items():
        assert np.mean([own[name] for own in drawn]) == pytest.approx(expected, rel=0.03)


def test_words_are_right_where_both_edges_are_cut_and_nothing_inside() -> None:
    documents = [Segmentation("唐唑唯, 一丁七唐。唐", (1, 3, 5, 7, 9, 10))] * 2
    _, words = gaps_and_words(documents)
    # Gaps lie before 唑 and 唯, and before 丁, 七 and 唐; what stands beside other marks is given.
    scores = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    counts = words.counts(scores)
    assert counts["word true"].tolist() == [4, 4]  # the comma, the full stop and the last 唐 are no one's merit
    assert counts["word found"].tolist() == [4, 3]
    assert counts["word right"].tolist() == [4, 0]
    assert counts["boundary right"].tolist() == [2, 0]


def test_the_best_threshold_is_that_of_a_search_through_all() -> None:
    documents = texts(num=15, length=12, error=0.3, outside="a, ")
    _, words = gaps_and_words(documents)
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 12, len(words.is_boundary)) + 3.0 * words.is_boundary
    every = np.ones(len(documents), dtype=bool)
    for kind in ("boundary", "word"):
        f1s = []
        for threshold in [*np.unique(scores), np.inf]:
            counts = cut(documents, words, (scores >= threshold).astype(float))
            f1s.append(2 * counts[f"{kind} right"] / (counts[f"{kind} found"] + counts[f"{kind} true"]))
        threshold, f1 = best_threshold(words, scores, kind, every, words.threshold_ranges(scores))
        counts = cut(documents, words, (scores >= threshold).astype(float))
        assert f1 == pytest.approx(max(f1s))
        assert 2 * counts[f"{kind} right"] / (counts[f"{kind} found"] + counts[f"{kind} true"]) == pytest.approx(f1)


def test_what_is_chosen_for_a_part_does_not_see_its_labels() -> None:
    documents = texts(num=20, error=0.2)
    gaps, words = gaps_and_words(documents)
    folds = Folds.of(words)
    generator = np.random.default_rng(0)
    scores = [(str(number), generator.normal(size=len(gaps)) + number / 4 * gaps.is_boundary) for number in range(4)]
    for part in range(folds.num):
        in_part = folds.of_gap == part
        turned = np.where(in_part, ~gaps.is_boundary, gaps.is_boundary)
        others = [
            Segmentation(d.text, tuple(gaps.characters[(gaps.documents == n) & turned].tolist()))
            for n, d in enumerate(documents)
        ]
        _, turned_words = gaps_and_words(others)
        for kind in ("boundary", "word"):
            before, after = (decide(several("s", scores, folds), own, folds, kind)[0] for own in (words, turned_words))
            assert np.array_equal(before[in_part], after[in_part])
    assert not np.array_equal(before, after)


def test_noise_is_not_made_better_than_every_gap_by_choosing_among_much_of_it() -> None:
    gaps, words = gaps_and_words(texts(num=60, error=0.5))
    folds = Folds.of(words)
    generator = np.random.default_rng(1)
    noise = several("noise", [(str(n), generator.normal(size=len(gaps))) for n in range(50)], folds)
    every = 2 * gaps.is_boundary.sum() / (len(gaps) + gaps.is_boundary.sum())
    decided, _ = decide(noise, words, folds, "boundary")
    counts = words.counts(decided)
    f1 = 2 * counts["boundary right"].sum() / (counts["boundary found"] + counts["boundary true"]).sum()
    assert f1 < every + 0.005


def test_entropy_is_one_rule_and_its_rise_another() -> None:
    # The model is sure behind 80-83, so a prediction is sure behind characters that begin words.
    model = lookup_model({}, certainty={0x80: 6.0, 0x81: 6.0, 0x83: 6.0})
    documents = texts()
    gaps = gaps_of(model, documents)
    by_token, by_unit = entropy_rises(gaps)
    trace = gaps.traces[0]
    own = gaps.documents == 0
    tokens = gaps.tokens[own]
    entropy = trace.entropy_nats.astype(float)
    assert by_token[own] == pytest.approx(entropy[tokens - 1] - entropy[tokens - 2])
    assert by_unit[own][0] == 0.0  # nothing was predicted for the first character
    assert by_unit[own][1:] == pytest.approx(entropy[tokens[1:] - 1] - entropy[tokens[1:] - 4])


def test_dissimilarity_is_that_of_neighbouring_states() -> None:
    documents = texts(num=12, length=40)  # longer than a window
    model = copying_model()
    gaps = gaps_of(model, documents)
    states, unlike = read_states(model, gaps, tokenizer_of(model))
    # Layer 0 reads embeddings: bytes that are the same are alike.
    embedded = model.get_input_embeddings().weight.detach().float().numpy()
    first, before = (gaps.traces[0].token_ids[gaps.tokens[:5] + offset] for offset in (0, -1))
    last = gaps.traces[0].token_ids[gaps.tokens[:5] + 2]
    for place, own in enumerate((first, last)):
        a, b = embedded[own], embedded[before]
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert unlike[place, 0, :5] == pytest.approx(1 - cosines, abs=5e-3)
    assert states.shape[:2] == (1, len(gaps))


def test_all_contestants_decide_about_the_same_gaps(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(zh=(["一唐一唐一唐"] * 30 + ["一丁七"], ["一唐"]))
    model = lookup_model(LEADS, {}, certainty={0x80: 2.0})
    table = segmentation(model, texts(num=25, error=0.1), corpus=corpus)
    assert table["num_gaps"].n_unique() == 1
    f1 = table.filter(quantity="boundary F1")
    assert f1["score"].to_list() == [
        "every gap", "random at the matched rate", *["increment"] * 3, "entropy",
        "entropy rise over the token before", "entropy rise over the unit before", "surprisal",
        "surprisal of the whole unit", *["dissimilarity of residual states"] * 2, "linear probe of the residual stream",
        "MLP probe of the residual stream", "branching entropy", "-PMI", "jieba",
    ]  # fmt: skip
    assert f1_of(table, "boundary F1", "linear probe of the residual stream")["value"] > 0.8
    enrichment = table.filter(quantity="boundary enrichment")
    assert enrichment.filter(score="every gap")["value"].item() == 1.0
    assert enrichment.filter(score="random at the matched rate")["value"].item() == pytest.approx(1.0, abs=0.05)
    assert "gold" in enrichment["score"]


def test_enrichment_is_the_share_of_surprising_tokens_that_are_cut() -> None:
    # "a" is expected behind all but 80-83, so that nothing surprises less or more than by that.
    documents = texts(num=20)
    model = lookup_model(LEADS, certainty=dict.fromkeys((144, 145, 175), 6.0))
    table = measured(model, documents)
    gaps = gaps_of(model, documents)
    is_surprising = gaps.surprisal >= np.quantile(gaps.surprisal, 0.9)
    expected = gaps.is_boundary[is_surprising].mean() / gaps.is_boundary.mean()
    row = f1_of(table, "boundary enrichment", "increment", "lead byte")
    assert row["value"] == pytest.approx(expected)
    assert row["value"] == f1_of(table, "boundary enrichment", "gold")["value"]


def test_english_words_sentences_and_models_without_increments() -> None:
    documents = [word_segmentation(f"the cat {number} sat, on a mat.") for number in range(12)]
    table = measured(copying_model(increments=None), documents, target="words")
    assert f1_of(table, "word F1", "every gap")["n"] == 12
    left_out = table.filter(score="increment").row(0, named=True)
    assert (left_out["value"], left_out["note"]) == (None, "increment left out: the model has no increments")
    table = measured(copying_model(increments={"accumulate": False}), documents, target="words")
    left_out = table.filter(score="increment").row(0, named=True)
    assert left_out["value"] is None
    assert left_out["note"] == "increment left out: the model's increments are positions themselves (accumulate=False)"
    assert "jieba" not in table["score"]
    sentences = [Segmentation("Ab cd. (Ef.) Gh, ij\nKl mn", (7, 13, 20))] * 12
    table = measured(lookup_model({}), sentences, target="sentences")
    assert f1_of(table, "sentence F1", "the last mark is a full stop or line end")["value"] == 1.0


def test_enrichment_is_of_the_boundaries_that_were_chosen_for_boundaries() -> None:
    documents = texts(num=20)
    gaps = gaps_of(lookup_model(LEADS), documents)
    gaps = replace(gaps, surprisal=gaps.is_boundary.astype(np.float64))
    right, every = gaps.is_boundary.astype(np.float64), np.ones(len(gaps))
    entries = [Entry.same("every gap", every), Entry("both", None, (right, every), ("right", "every"))]
    rows = {
        row["score"]: row for row in rows_of(entries, gaps, Words.of(gaps), seed=0) if row["quantity"] == ENRICHMENT
    }
    assert (rows["both"]["chosen"], rows["both"]["rate"]) == ("right", right.mean())
    assert rows["both"]["value"] == rows["gold"]["value"] > 1.5


def test_counts_of_a_corpus_without_training_text_are_left_out(make_corpus: Callable[..., Corpus]) -> None:
    table = measured(lookup_model(LEADS), texts(), corpus=make_corpus(zh=([], ["一唐"])))
    assert f1_of(table, "boundary F1", "increment", "lead byte")["value"] == 1.0
    note = table.filter(score="-PMI")["note"].item()
    assert note.startswith("-PMI left out: ")
    assert "has no training documents to count in" in note


def test_jieba_that_is_not_installed_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jieba", None)
    row = measured(lookup_model(LEADS), texts()).filter(score="jieba").row(0, named=True)
    assert row["value"] is None
    assert row["note"].startswith("jieba left out: segmenting needs the package jieba; ")


def test_what_cannot_be_measured_is_said() -> None:
    model = lookup_model(LEADS)
    with pytest.raises(NotMeasurableError, match="9 documents are too few to hold some out; give at least 10"):
        measured(model, texts(num=9))
    with pytest.raises(NotMeasurableError, match="all 24 labels are False"):
        measured(model, [Segmentation("一唐唐", ())] * 12)
    with pytest.raises(NotMeasurableError, match="no document has two Chinese characters side by side"):
        measured(model, [Segmentation("no Chinese", (3,))] * 12)
    with pytest.raises(ConfigError, match="there is no target 'phrases'"):
        measured(model, texts(), target="phrases")


def test_fixed_scores_and_units_of_known_texts() -> None:
    documents = texts(num=10)
    gaps, words = gaps_and_words(documents)
    folds = Folds.of(words)
    decided, picked = decide(fixed("gold", gaps.is_boundary.astype(float), folds), words, folds, "word")
    assert np.array_equal(decided, gaps.is_boundary)
    assert picked == [0] * folds.num
    lengths = [stop - start for d in documents for start, stop in pairwise((0, *d.boundaries, len(d.text)))]
    assert words.counts(decided)["word right"].sum() == len(lengths)
