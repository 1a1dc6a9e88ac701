"""Boundaries, of models whose increments tell them in a known way: always, never, by halves, or only together."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedModel

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, CorpusError, NoIncrementsError, NotMeasurableError, TextError
from howfar.measures.boundaries import boundaries
from howfar.measures.boundaries.gaps import Gaps, find_gaps
from howfar.measures.boundaries.random_networks import NOT_TRAINED
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.boundaries.targets import segmented as rule_segmented
from howfar.models.loading import load, tokenizer_of
from howfar.positions import IncrementConfig, attach
from howfar.text.segmentation import Segmentation, read_conllu, word_segmentation
from howfar.text.tokenizer import byte_tokenizer
from support.copying import copying_model
from support.grafts import make_base
from support.lookup import lookup_model
from support.models import stir

FIRST, INNER = "一丁七", "唐唑唯"  # E4 B8 80, E4 B8 81, E4 B8 83 and E5 94 90, E5 94 91, E5 94 AF
LEADS = {0xE4: 3.0, 0xE5: 1.5}  # farther to what begins a word


def spell(word_starts: list[bool], wrong: list[bool] | None = None) -> str:
    """A character for each place: one of `FIRST` where a word begins there, unless that is spelled wrong."""
    wrong = wrong or [False] * len(word_starts)
    return "".join(
        (FIRST if start != swapped else INNER)[place % 3]
        for place, (start, swapped) in enumerate(zip(word_starts, wrong, strict=True))
    )


def segmented(num: int = 15, length: int = 30, error: float = 0.0, seed: int = 0) -> list[Segmentation]:
    """Random words; a share of their characters is spelled as if it stood elsewhere."""
    generator = random.Random(seed)
    documents = []
    for _ in range(num):
        starts = [generator.random() < 0.6 for _ in range(length)]
        wrong = [generator.random() < error for _ in range(length)]
        documents.append(Segmentation(spell(starts, wrong), tuple(i for i in range(1, length) if starts[i])))
    return documents


def auc_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """By counting pairs."""
    differences = scores[labels][:, None] - scores[~labels][None]
    return float((np.sign(differences) / 2 + 0.5).mean())


def labels_and(
    documents: list[Segmentation], spelled: Callable[[str, int], bool]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each gap is a boundary, and something that its text says."""
    places = [(document, place) for document in documents for place in range(1, len(document.text))]
    labels = np.array([place in document.boundaries for document, place in places])
    return labels, np.array([float(spelled(document.text, place)) for document, place in places])


def increment_rows(table: pl.DataFrame, scored_at: str = "lead byte") -> pl.DataFrame:
    return table.filter(quantity="auc", score="increment", scored_at=scored_at).sort("layer", "head")


def measured(model: PreTrainedModel, documents: list[Segmentation], **options: object) -> pl.DataFrame:
    return boundaries(model, documents, **{"fitted": False, **options})


def test_perfect_and_inverted_increments() -> None:
    model = lookup_model(LEADS, {0xE4: 1.0, 0xE5: 2.0}, {})
    table = measured(model, segmented())
    rows = increment_rows(table)
    assert rows["value"].to_list() == [1.0, 0.0, 0.5]  # below 0.5 it stays what it is; without a difference it is 0.5
    assert rows["low"].to_list() == rows["low_together"].to_list() == [1.0, 0.0, 0.5]
    assert rows["num_gaps"].unique().to_list() == [15 * 29]
    assert table["target"].unique().to_list() == ["chinese-words"]


def test_sentences_of_a_document_are_no_independent_evidence() -> None:
    alone = segmented(error=0.2)
    no_gap = Segmentation("a", ())  # a document may begin with a sentence that is not read
    together = [
        of_document
        for one in alone
        for of_document in (no_gap, *(replace(one, begins_document=False) for _ in range(3)))
    ]
    expected, found = (increment_rows(measured(lookup_model(LEADS), documents)) for documents in (alone, together))
    numbers = ["value", "low", "high", "low_together", "high_together"]
    np.testing.assert_allclose(found.select(numbers), expected.select(numbers), atol=1e-9)
    assert found["n"].to_list() == expected["n"].to_list() == [15]
    assert found["num_gaps"].to_list() == [3 * num for num in expected["num_gaps"]]


def test_where_an_increment_is_scored() -> None:
    # The last byte of the character before the gap is 80-83 or 90-AF: it tells what that character is.
    table = measured(lookup_model({0x80: 2.0, 0x81: 2.0, 0x83: 2.0}), segmented())
    labels, before = labels_and(segmented(), lambda text, place: text[place - 1] in FIRST)
    expected = auc_of(before, labels)
    assert increment_rows(table, "byte before")["value"].item() == pytest.approx(expected)
    assert increment_rows(table, "lead byte")["value"].item() == 0.5
    assert increment_rows(table, "whole character")["value"].item() == 1.0  # its last byte tells it too


def test_an_auc_in_between_is_the_share_of_pairs_in_order() -> None:
    documents = segmented(error=0.3)
    row = increment_rows(measured(lookup_model(LEADS), documents)).row(0, named=True)
    labels, spelled = labels_and(documents, lambda text, place: text[place] in FIRST)
    assert row["value"] == pytest.approx(auc_of(spelled, labels))
    assert row["value"] == pytest.approx(0.7, abs=0.05)
    assert row["low"] < 0.7 < row["high"]


def test_random_increments_tell_nothing() -> None:
    row = increment_rows(measured(lookup_model(LEADS), segmented(num=60, error=0.5))).row(0, named=True)
    assert row["low"] < 0.5 < row["high"]
    assert row["p_together"] > 0.05


def test_the_correction_is_for_the_number_of_layers() -> None:
    documents = segmented(num=40, error=0.45)
    generator = random.Random(0)
    others = [{byte: generator.uniform(0.5, 1.5) for byte in (0x80, 0x81, 0x83, 0x90, 0x91, 0xAF)} for _ in range(4)]
    alone, among = (
        increment_rows(measured(lookup_model(LEADS, *layers), documents), "whole character").row(0, named=True)
        for layers in ([], others)
    )
    assert (among["value"], among["low"], among["high"]) == (alone["value"], alone["low"], alone["high"])
    assert among["low_together"] < alone["low"] < alone["value"] < alone["high"] < among["high_together"]
    assert among["p_together"] > alone["p_together"]


def gain_of(table: pl.DataFrame, scored_at: str, layer: int = 0) -> dict[str, Any]:
    return table.filter(quantity="auc gain", scored_at=scored_at, layer=layer).row(0, named=True)


def test_increments_add_nothing_to_what_they_repeat() -> None:
    # Predictions are sure behind 80-83, so entropy tells which character stands before the gap, as do increments there;
    # those of lead bytes repeat the first byte behind it, which is looked up.
    sure = {0x80: 6.0, 0x81: 6.0, 0x83: 6.0}
    model = lookup_model({0x80: 2.0, 0x81: 2.0, 0x83: 2.0}, LEADS, certainty=sure)
    table = boundaries(model, segmented(num=40, error=0.2), probes=())
    for scored_at, layer in (("byte before", 0), ("lead byte", 1)):
        assert gain_of(table, scored_at, layer)["value"] == pytest.approx(0, abs=0.01)
        assert gain_of(table, scored_at, layer)["p_together"] > 0.05
    looked_up = table.filter(quantity="auc", score="lookup").row(0, named=True)
    labels, spelled = labels_and(segmented(num=40, error=0.2), lambda text, place: text[place] in FIRST)
    assert looked_up["value"] == pytest.approx(auc_of(spelled, labels), abs=0.02)


def test_what_increments_know_beyond_the_first_byte_is_a_gain() -> None:
    # All characters begin with E4; the last byte tells whether a word begins, which only the whole character shows.
    generator = random.Random(0)
    documents = []
    for _ in range(40):
        starts = [generator.random() < 0.5 for _ in range(30)]
        shown = [start if generator.random() < 0.9 else not start for start in starts]
        text = "".join("一" if start else "七" for start in shown)  # E4 B8 80 and E4 B8 83
        documents.append(Segmentation(text, tuple(i for i in range(1, 30) if starts[i])))
    table = boundaries(lookup_model({0x80: 3.0}), documents, probes=())
    gain = gain_of(table, "whole character")
    assert gain["low_together"] > 0.3
    assert gain["p_together"] < 0.01
    assert gain_of(table, "lead byte")["value"] == pytest.approx(0, abs=0.02)
    models = table.filter(quantity="auc", scored_at="whole character").filter(pl.col("score").str.contains("lookup"))
    assert models["value"].item() > table.filter(quantity="auc", score="lookup")["value"].item() + 0.3
    order = [(row["quantity"], row["score"]) for row in table.iter_rows(named=True)]
    nested = "lookup + entropy + surprisal + increment"  # what the gain sums up stands below it, and last
    assert max(map(order.index, {("auc gain", nested), ("auc", "entropy")})) < order.index(("auc", nested))
    assert order[-1][1] == nested


def test_a_planted_effect_of_identity_alone_vanishes_within_strata() -> None:
    # Words begin behind 一 more often than behind 七, whatever stands behind the gap: increments that know the byte
    # before tell boundaries, and nothing of them among gaps behind the same character.
    generator, documents = random.Random(0), []
    for _ in range(60):
        text = "".join(generator.choice("一丁七") for _ in range(30))
        chance = {"一": 0.8, "丁": 0.5, "七": 0.2}
        documents.append(Segmentation(text, tuple(i for i in range(1, 30) if generator.random() < chance[text[i - 1]])))
    table = measured(lookup_model({0x80: 3.0, 0x81: 2.0}), documents)
    chosen = table.filter(score="increment", scored_at="byte before")
    assert chosen.filter(quantity="auc")["low_together"].item() > 0.65
    assert chosen.filter(quantity="auc within")["value"].item() == 0.5


def test_a_planted_boundary_effect_stays_within_strata() -> None:
    table = measured(lookup_model(LEADS), segmented(num=40, error=0.2))
    row = table.filter(quantity="auc within", score="increment", scored_at="lead byte").row(0, named=True)
    assert row["low_together"] > 0.7


def in_two_languages(num: int = 20, length: int = 30) -> list[Segmentation]:
    """Most gaps of one language are boundaries and few of the other; within each, boundaries are at random places."""
    generator, documents = random.Random(0), []
    for source, letters, share in (("dense", FIRST, 0.7), ("sparse", INNER, 0.3)) * num:
        text = "".join(generator.choice(letters) for _ in range(length))
        starts = tuple(place for place in range(1, length) if generator.random() < share)
        documents.append(Segmentation(text, starts, source=source))
    return documents


def test_steps_that_only_differ_between_languages_mark_nothing() -> None:
    documents = in_two_languages()
    mixed = increment_rows(measured(lookup_model(LEADS), [replace(one, source="") for one in documents]))
    assert mixed["low_together"].item() > 0.65
    table = boundaries(lookup_model(LEADS), documents, probes=())
    assert increment_rows(table)["value"].item() == 0.5
    assert increment_rows(table)["random_low"].item() == 0.5  # a language's lead bytes are all the same
    gain = table.filter(quantity="auc gain", scored_at="lead byte")
    assert gain["low"].item() < 0 < gain["high"].item()


def test_a_planted_effect_is_found_in_each_of_two_languages() -> None:
    documents = [
        replace(document, source=source)
        for source, seed in (("one", 0), ("other", 1))
        for document in segmented(num=20, error=0.2, seed=seed)
    ]
    both = increment_rows(measured(lookup_model(LEADS), documents)).row(0, named=True)
    assert both["low_together"] > 0.7
    each = [
        increment_rows(measured(lookup_model(LEADS), [one for one in documents if one.source == source]))[
            "value"
        ].item()
        for source in ("one", "other")
    ]
    assert min(each) < both["value"] < max(each)


def test_gaps_that_a_rule_finds_have_the_source_of_their_document(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(en=(["a b"], ["a b c", "d e"]), zh=(["一"], ["一二。"]))
    found = rule_segmented(corpus, byte_tokenizer(), TARGETS["delimiters"], 100, seed=0)
    assert {(one.text, one.source) for one in found} == {("a b c", "en"), ("d e", "en"), ("一二。", "zh")}


def test_characters_behind_which_all_gaps_are_alike_leave_nothing_to_compare() -> None:
    # A word begins behind each 一 and behind nothing else.
    documents = [Segmentation("一七一七一七", (1, 3, 5))] * 12
    table = measured(lookup_model(LEADS), documents)
    notes = table.filter(quantity="auc within")["note"].unique().to_list()
    assert len(notes) == 1
    assert notes[0].startswith("not measurable: no stratum has items of both classes")


def test_sentences_have_the_rule_that_anyone_would_try_first() -> None:
    documents = [Segmentation("Ab cd. (Ef.) Gh, ij\nKl mn", (7, 13, 20))] * 12
    table = measured(lookup_model({}), documents, target="sentences")
    rule = table.filter(score="the last mark is a full stop or line end", quantity="auc")
    assert rule["value"].item() == 1.0


def test_entropy_is_that_of_the_prediction_before_the_gap() -> None:
    labels, before = labels_and(segmented(), lambda text, place: text[place - 1] in INNER)
    table = measured(lookup_model({}, certainty={0x80: 6.0, 0x81: 6.0, 0x83: 6.0}), segmented())
    assert table.filter(score="entropy", quantity="auc")["value"].item() == pytest.approx(auc_of(before, labels))


def test_a_probe_finds_what_increments_do_not_show() -> None:
    documents = segmented(error=0.1)
    labels, spelled = labels_and(documents, lambda text, place: text[place] in FIRST)
    table = boundaries(lookup_model({}, {}), documents)
    assert increment_rows(table)["value"].to_list() == [0.5, 0.5]
    probes = table.filter(score="linear probe of the residual stream", quantity="auc").sort("layer")
    assert probes["layer"].to_list() == [0, 1]
    assert probes["value"].to_list() == pytest.approx([auc_of(spelled, labels)] * 2, abs=0.03)
    nothing = boundaries(lookup_model({}), segmented(num=40, error=0.5)).filter(
        score="linear probe of the residual stream", quantity="auc"
    )
    assert nothing["low"].item() < 0.5 < nothing["high"].item()


def test_probes_of_few_gaps_are_of_all_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    model, documents = lookup_model({}, {}), segmented(num=14)
    for num_gaps, num_documents in ((14 * 8, 14), (4, None)):
        monkeypatch.setattr("howfar.measures.boundaries.probes.MAX_VALUES", num_gaps * 2 * model.config.hidden_size)
        table = boundaries(model, documents)
        assert increment_rows(table)["num_gaps"].to_list() == [14 * 29] * 2
        probed = table.filter(score="linear probe of the residual stream", quantity="auc")
        if num_documents:
            assert probed.select("num_gaps", "n").rows() == [(num_gaps, num_documents)] * 2
        else:  # too few, but what else was measured is kept
            assert probed["value"].to_list() == [None]
            assert probed["note"].item().startswith("not measurable: 4 documents are too few to hold some out")


def test_where_models_cannot_be_fitted_other_rows_are_kept(make_corpus: Callable[..., Corpus]) -> None:
    # All boundaries are in one document, so the models that score it have seen none.
    documents = [Segmentation(one.text, one.boundaries if not at else ()) for at, one in enumerate(segmented())]
    table = boundaries(lookup_model(LEADS), documents, corpus=make_corpus(zh=([], ["一唐"])))
    assert increment_rows(table)["value"].item() > 0.5
    for quantity, score, reason in (
        ("auc", "lookup", "labels are False"),
        ("auc gain", "lookup + entropy + surprisal + increment", "labels are False"),
        ("auc", "linear probe of the residual stream", "labels are False"),
        ("auc", "-PMI", "has no training documents to count in"),
    ):
        row = table.filter(quantity=quantity, score=score).row(0, named=True)
        assert (row["value"], row["note"][:16], reason in row["note"]) == (None, "not measurable: ", True)


def test_counts_come_from_the_training_corpus(make_corpus: Callable[..., Corpus]) -> None:
    # 一唐 is a word of the corpus, 唐一 stands there where one word follows another.
    corpus = make_corpus(zh=(["一唐一唐一唐"] * 30 + ["一丁七"], ["一唐"]))
    documents = [Segmentation("一唐一唐一唐", (2, 4))] * 12
    table = measured(lookup_model(LEADS), documents, corpus=corpus)
    counted = table.filter(quantity="auc")
    assert counted.filter(score="-PMI")["value"].item() == 1.0
    assert counted.filter(score="branching entropy")["value"].item() == 1.0
    without = measured(lookup_model(LEADS), documents).filter(score="-PMI").row(0, named=True)
    assert (without["value"], without["note"]) == (None, "not measurable: no training corpus")


def test_shared_increments_and_heads() -> None:
    shared = increment_rows(measured(lookup_model(LEADS, {}, scope="shared"), segmented()))
    assert (shared["layer"].to_list(), shared["value"].to_list()) == ([None], [1.0])
    heads = increment_rows(measured(lookup_model([LEADS, {0xE4: 1.0, 0xE5: 2.0}]), segmented()))
    assert (heads["head"].to_list(), heads["value"].to_list()) == ([0, 1], [1.0, 0.0])


@pytest.mark.parametrize(
    ("target", "text", "starts", "table"),
    [
        ("words", "ab cd, ef", (3, 5, 7), {ord("c"): 2.0, ord(","): 2.0, ord("e"): 2.0}),
        ("sentences", "ab cd. Xe fg. Yz", (7, 14), {ord("X"): 2.0, ord("Y"): 2.0}),
        ("delimiters", "ab, c", (2, 3), {ord(","): 2.0, ord(" "): 2.0}),
    ],
)
def test_other_targets(target: str, text: str, starts: tuple[int, ...], table: dict[int, float]) -> None:
    found = measured(lookup_model(table), [Segmentation(text, starts)] * 12, target=target)
    assert increment_rows(found)["value"].item() == 1.0


def test_gaps_inside_tokens_are_counted_and_left_out(tmp_path) -> None:
    model = load(make_base(tmp_path / "base"))
    stir(attach(model, IncrementConfig(scope="shared")))
    text = "the cat, sat. on a mat,, and sat"
    documents = [word_segmentation(text)] * 12
    table = measured(model, documents, target="words")
    assert set(table["scored_at"].drop_nulls()) == {"first token", "whole unit", "token before"}
    notes = table.filter(score="increment", quantity="auc")["note"].unique().sort(descending=True).to_list()
    left_out = int(notes[-1].split()[0])
    assert notes == [f"{NOT_TRAINED}; {notes[-1]}", f"{left_out} gaps inside tokens are left out"]
    candidates = 12 * sum(c != " " for c in text[1:])
    assert table.filter(score="increment", quantity="auc")["num_gaps"].unique().to_list() == [candidates - left_out]


def test_a_word_whose_token_begins_with_a_space_has_a_gap(tmp_path: Path) -> None:
    model = load(make_base(tmp_path / "base"))
    tokenizer = tokenizer_of(model)
    text = "the cat, the mat. On a mat\nand trees"

    def found(target: str) -> tuple[set[int], set[int], Gaps]:
        sought = TARGETS[target]
        gaps = find_gaps(model, [sought.segment(text)], sought, tokenizer=tokenizer, max_gaps=99)
        return set(gaps.characters.tolist()), set(gaps.characters[gaps.is_boundary].tolist()), gaps

    starts = set(word_segmentation(text).boundaries)
    characters, boundaries_seen, gaps = found("words")
    assert {4, 9, 13} <= boundaries_seen == starts  # cat, the, mat
    # The gaps of units whose tokens begin with a space, at their letter; the rest begin there.
    units = [unit for unit in gaps.traces[0].units[1:] if not unit.text.isspace()]
    assert characters == {unit.end_char - len(unit.text.lstrip()) for unit in units}
    assert any(unit.text.startswith(" ") for unit in units)
    assert gaps.num_unseen == sum(not c.isspace() for c in text[1:]) - len(units)
    assert found("sentences")[:2] == (starts, {text.index("On"), text.index("and")})
    # Delimiters are looked for at the space itself.
    _, delimiters, _ = found("delimiters")
    assert {3, 8} <= delimiters
    assert 4 not in delimiters


def test_a_subword_s_gap_is_scored_by_its_own_token(tmp_path: Path) -> None:
    model = load(make_base(tmp_path / "base"))
    stir(attach(model, IncrementConfig(scope="shared")))
    target = TARGETS["words"]
    gaps = find_gaps(model, [word_segmentation("the cat, the")], target, tokenizer=tokenizer_of(model), max_gaps=99)
    trace, cat = gaps.traces[0], gaps.characters.tolist().index(4)
    token = next(number for number, (start, end) in enumerate(trace.token_bytes.tolist()) if start <= 4 < end)
    assert gaps.tokens[cat] == token
    assert gaps.first_token[:, 0, cat] == pytest.approx(trace.increments[:, 0, token])
    assert [chr(point) for point in gaps.neighbours[cat]] == ["e", " ", "c", "a"]
    assert (chr(gaps.next_byte[cat]), gaps.previous[cat]) == (" ", trace.token_ids[token - 1])


def test_documents_are_taken_until_there_are_enough_gaps() -> None:
    states: list[tuple[int, int]] = []
    table = measured(lookup_model(LEADS), segmented(), max_gaps=300, progress=lambda *state: states.append(state))
    assert table.filter(quantity="auc")["num_gaps"].drop_nulls().unique().to_list() == [11 * 29]
    assert states[-1] == (300, 300)


def test_what_cannot_be_measured_is_said() -> None:
    model = lookup_model(LEADS)
    with pytest.raises(NotMeasurableError, match="no document has two Chinese characters side by side"):
        measured(model, [Segmentation("no Chinese here", (3,))] * 12)
    with pytest.raises(NotMeasurableError, match="no document has"):
        measured(model, [])
    with pytest.raises(NotMeasurableError, match="all 24 labels are False, so there are no two classes to tell apart"):
        measured(model, [Segmentation("一唐唐", ())] * 12)
    with pytest.raises(NotMeasurableError, match="9 documents give no interval; give at least 10"):
        measured(model, segmented(num=9))
    with pytest.raises(NoIncrementsError):
        measured(copying_model(increments=None), segmented())
    with pytest.raises(ConfigError, match="there is no target 'phrases'; choose from chinese-words, words"):
        measured(model, segmented(), target="phrases")


def test_gold_that_does_not_match_its_text(tmp_path) -> None:
    with pytest.raises(TextError, match="a segmentation is needed, but this is a str; read some from a file"):
        measured(lookup_model(LEADS), ["一唐"] * 12)  # type: ignore[list-item]
    with pytest.raises(NotMeasurableError, match="a boundary of '一唐' lies beyond its 2 characters"):
        measured(lookup_model(LEADS), [Segmentation("一唐", (5,))] * 12)
    rows = [f"{number}\t{form}" + "\t_" * 8 for number, form in ((1, "一"), (2, "唐唐"))]
    (tmp_path / "gold.conllu").write_text("\n".join(["# text = 一唐丁", *rows, ""]), encoding="utf-8")
    with pytest.raises(CorpusError, match="give the segmentation of this text"):
        list(read_conllu(tmp_path / "gold.conllu"))
