from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NoIncrementsError, NotMeasurableError
from howfar.measures.inputs import Inputs
from howfar.measures.pairs import MEASURE, match_pairs, pairs
from howfar.measures.pairs.lists import Pair
from howfar.measures.pairs.same_first import find_same_first, match_passages, same_first
from howfar.measures.pairs.scores import find_passages, scores_in_passages
from howfar.models.loading import load, tokenizer_of
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig, attach, override
from howfar.reading import trace_many
from support.copying import copying_model
from support.grafts import make_base
from support.lookup import lookup_model

PLACES = """
    Amber Alley, Birch Brook, Cedar Creek, Delta Downs, Ember Edges, Flint Falls, Grove Gates, Haven Hills,
    Ivory Isles, Jewel Jetty, Karst Knoll, Lotus Lakes, Maple Marsh, North Nooks, Ochre Oasis, Pearl Ponds
"""
ENTITIES = [Pair(*place.split(), "place") for place in PLACES.split(",")]
FIRSTS = [pair.first for pair in ENTITIES]
CHINESE = [
    Pair(first, second, "place")
    for first, second in zip("东西南北上下左右前后高低大小新旧", "山水河湖海江岛城镇村园林门桥路塔", strict=True)
]


@contextmanager
def increments_by_bytes(model: HowFarForCausalLM, rule: Callable[[bytes], float]) -> Iterator[None]:
    """Give each token the increment that a rule reads from the bytes up to it."""
    seen: list[torch.Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True)

    def planted(layer: int, own: torch.Tensor) -> torch.Tensor:
        rows = [bytes(token % 256 for token in row) for row in seen[-1].tolist()]
        return torch.tensor([[rule(row[max(0, t - 19) : t + 1]) for t in range(len(row))] for row in rows])[:, None]

    try:
        with override(model, planted):
            yield
    finally:
        hook.remove()


def pseudo_random(text: bytes) -> float:
    """Between 1 and 2, by the last four bytes."""
    return 1 + (int.from_bytes(text[-4:]) * 2246822519 % 2**32) / 2**32


def closer_behind(firsts: list[str], byte: bytes, by: float) -> Callable[[bytes], float]:
    """Closer by so much at the byte behind any of some words; pseudo-random otherwise."""
    endings = tuple(first.encode() + byte for first in firsts)
    return lambda text: pseudo_random(text) - (by if text.endswith(endings) else 0)


def row(table: pl.DataFrame, control: str, site: str) -> dict[str, object]:
    return table.filter(control=control, site=site, type="all").row(0, named=True)


def test_reversed_order_finds_a_planted_effect() -> None:
    model = copying_model()
    with increments_by_bytes(model, closer_behind(FIRSTS, b" ", by=1.5)):
        found = row(pairs(model, ENTITIES), "reversed", "space")
    assert found["n"] == 16
    assert found["value"] == pytest.approx(-1.5, abs=0.5)
    assert (found["share_smaller"], found["effect_size"]) == (1.0, -1.0)
    assert found["p_value"] == pytest.approx(2 / 2**16)  # every one of sixteen differences is below 0
    assert found["p_holm"] == found["p_value"]  # one layer
    assert found["high"] < -1


def test_finds_no_effect_where_there_is_none() -> None:
    model = copying_model()
    with increments_by_bytes(model, pseudo_random):
        table = pairs(model, ENTITIES)
    for control, site in (("reversed", "space"), ("recombined", "character")):
        found = row(table, control, site)
        assert found["p_value"] > 0.01
        assert abs(found["effect_size"]) < 0.7


def test_recombined_holds_the_scored_byte_fixed() -> None:
    model = copying_model()
    endings = tuple(
        pair.text.encode()[: len(pair.first) + 2] for pair in ENTITIES
    )  # up to the second word's first letter

    def together(text: bytes) -> float:
        return 0.5 if text.endswith(endings) else 1.0

    with increments_by_bytes(model, together):
        table = pairs(model, ENTITIES)
    found = row(table, "recombined", "character")
    assert (found["entity_mean"], found["control_mean"], found["share_smaller"]) == (0.5, 1.0, 1.0)
    # The space between the words has not seen the second one.
    assert row(table, "reversed", "space")["note"].startswith(
        "not measurable: the increment is the same for every pair"
    )


def test_chinese_is_scored_at_the_second_part() -> None:
    model = copying_model()
    begun = {pair.text.encode()[:4] for pair in CHINESE}

    def closer(text: bytes) -> float:
        return 0.5 if text[-4:] in begun else 1.0

    with increments_by_bytes(model, closer):
        table = pairs(model, CHINESE)
    assert table.filter(type="all").select("control", "site").rows()[:4] == [
        ("reversed", "lead byte"),
        ("reversed", "character"),
        ("recombined", "lead byte"),
        ("recombined", "character"),
    ]
    # Three bytes of 1 make up a character; the first one is closer.
    assert row(table, "reversed", "lead byte")["entity_mean"] == 0.5
    assert row(table, "reversed", "character")["entity_mean"] == 2.5
    assert row(table, "reversed", "character")["control_mean"] == 3.0


def test_without_a_corpus_there_is_no_matched_control() -> None:
    found = pairs(copying_model(), ENTITIES).filter(pl.col("control").is_in(["same first", "matched"]))
    assert found["note"].to_list() == ["not measurable: no training corpus was given to find passages in"] * 2


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    """Entities and bigrams of grammar, alike in counts: sixteen of each, 20 times, half of the time in company."""
    others = [word.upper() for word in FIRSTS]
    lines = [f"we saw {pair.text} today and {pair.first} too" for pair in ENTITIES]
    lines += [f"we saw {other} of old and {other} twice" for other in others]
    return make_corpus(en=([f"{line} {number}" for number in range(20) for line in lines], ["nothing"]))


def test_matched_control_finds_a_planted_effect(corpus: Corpus) -> None:
    model = copying_model()
    with increments_by_bytes(model, closer_behind(FIRSTS, b" ", by=1.5)):
        found = row(pairs(model, ENTITIES, corpus=corpus), "matched", "space")
    assert found["n"] == 16
    assert (found["share_smaller"], found["effect_size"]) == (1.0, -1.0)
    assert found["largest_imbalance"] < 0.1


def test_matched_bigrams_with_one_first_word_are_one_case(make_corpus: Callable[..., Corpus]) -> None:
    """Eight first words stand before two function words each, so of sixteen differences eight are independent."""
    lines = [f"we saw {pair.text} today and {pair.first} too" for pair in ENTITIES]
    lines += [f"we saw {word.upper()} of old and {word.upper()} too" for word in FIRSTS[:8]]
    corpus = make_corpus(en=([f"{line} {number}" for number in range(20) for line in lines], ["nothing"]))
    model = copying_model()
    with increments_by_bytes(model, closer_behind(FIRSTS, b" ", by=1.5)):
        found = row(pairs(model, ENTITIES, corpus=corpus), "matched", "space")
    assert found["n"] == 16
    assert found["note"] == "not measurable: 16 pairs, 8 of which share no word, are too few for a test"


def test_matched_control_does_not_take_expectation_for_grouping(corpus: Corpus) -> None:
    """Where spaces are close behind every word that is often continued alike, entities are nothing special."""
    model = copying_model()
    alike = closer_behind([*FIRSTS, *(word.upper() for word in FIRSTS)], b" ", by=1.5)
    with increments_by_bytes(model, alike):
        table = pairs(model, ENTITIES, corpus=corpus)
    assert row(table, "reversed", "space")["share_smaller"] == 1.0  # as published, it would count as grouping
    assert row(table, "matched", "space")["p_value"] > 0.05


def test_a_first_word_effect_does_not_look_like_an_entity_effect(corpus: Corpus) -> None:
    """Where spaces are close behind the entities' first words in whatever company, other controls see entities."""
    model = copying_model()
    with increments_by_bytes(model, closer_behind(FIRSTS, b" ", by=1.5)):
        table = pairs(model, ENTITIES, corpus=corpus)
    for control in ("reversed", "matched"):
        assert row(table, control, "space")["share_smaller"] == 1.0
    found = row(table, "same first", "space")
    assert found["n"] == 16
    assert found["entity_mean"] == pytest.approx(found["control_mean"], abs=0.2)
    assert found["p_value"] is None or found["p_value"] > 0.05


def test_an_entity_effect_is_seen_behind_the_second_word(corpus: Corpus) -> None:
    model = copying_model()
    ends = [pair.text[-10:] for pair in ENTITIES]  # of both words
    with increments_by_bytes(model, closer_behind(ends, b" ", by=1.5)):
        table = pairs(model, ENTITIES, corpus=corpus)
    found = row(table, "same first", "space after")
    assert (found["n"], found["share_smaller"]) == (16, 1.0)
    assert found["high"] < -1
    assert found["p_holm"] < 0.001
    assert found["num_passages"] >= 32
    assert abs(found["entropy_difference"]) < 0.2


def test_passages_behind_the_same_first_word_stand_at_the_same_place(make_corpus: Callable[..., Corpus]) -> None:
    texts = [
        "New York is big. New laws are not.",
        "Old, New York is, and New rules are",
        "Newer York is old",
        "a New York",
    ]
    corpus = make_corpus(en=(texts, ["nothing"]))
    found = list(find_same_first([Pair("New", "York", "place")], corpus, None))
    assert [(passage.pair.second, passage.starts_sentence, passage.is_entity) for passage in found] == [
        ("York", True, True),
        ("laws", True, False),
        ("York", False, True),
        ("rules", False, False),
    ]
    matched = match_passages(found, np.array([1.0, 1.1, 2.0, 2.5]), 0)
    assert matched == [(0, 1)]  # the other two are too different


def test_passages_of_subwords_are_matched_on_the_prediction_of_the_second_word(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(make_base(tmp_path / "base"))
    attach(model, IncrementConfig(scope="shared"))
    tokenizer = tokenizer_of(model)
    corpus = make_corpus(en=(["the cat sat", "on the cat sat", "the mat sat", "on the mat sat"], ["nothing"]))
    seen: list[float] = []
    monkeypatch.setattr(
        "howfar.measures.pairs.same_first.match_passages", lambda _, entropies, __: seen.extend(entropies)
    )
    entities = [Pair("the", "cat", "x")]
    same_first(model, tokenizer, entities, corpus)
    befores = [passage.before + "the" for passage in find_same_first(entities, corpus, None)]
    traces = trace_many(model, befores, tokenizer)  # a token begins with the space, so there is none after "the"
    assert seen == pytest.approx([trace.entropy_nats[-1] for trace in traces], rel=1e-4)
    assert len(set(seen)) == 2


def test_progress_goes_steadily_to_its_end(corpus: Corpus) -> None:
    for given, in_all in ((None, 3), (corpus, 45)):
        told: list[tuple[int, int]] = []
        pairs(copying_model(), ENTITIES, corpus=given, progress=lambda *parts: told.append(parts))  # noqa: B023
        assert told[:3] == [(1, in_all), (2, in_all), (3, in_all)]
        assert told[-1] == (in_all, in_all)
        assert told == sorted(told)


def test_blocks_are_counted_as_they_are_read(corpus: Corpus, make_corpus: Callable[..., Corpus]) -> None:
    told: list[tuple[int, int]] = []
    match_pairs(ENTITIES, corpus, progress=lambda *blocks: told.append(blocks))
    assert told == [(number, 64) for number in range(1, len(told) + 1)]
    assert len(told) > 32


def test_passages_are_taken_from_different_documents(make_corpus: Callable[..., Corpus]) -> None:
    texts = [
        "New York and New York",
        "NewYork, aNew York, New Yorker",
        *(f"{number}: in New York" for number in range(9)),
    ]
    corpus = make_corpus(en=(texts, ["held out: (New York)"]))
    found = [before for _, before, _ in find_passages([Pair("New", "York", "place")], corpus, None)]
    assert found == ["held out: (", "", "0: in ", "1: in ", "2: in "]


def test_few_pairs_of_a_type_are_not_tested() -> None:
    mixed = [*ENTITIES, Pair("Big", "Tree", "compound term")]
    table = pairs(copying_model(), mixed).filter(control="reversed", type="compound term")
    assert table["note"].item() == "not measurable: 1 pairs are too few for a test"
    assert table["value"].item() is None


def test_names_of_few_words_are_too_few_however_many_they_are() -> None:
    several = [Pair(first, second, "place") for first in FIRSTS[:8] for second in (f"{first}a", f"{first}o")]
    table = pairs(copying_model(blind_second_layer=True), several).filter(control="reversed", type="all")
    assert table["note"][0] == "not measurable: 16 pairs, 8 of which share no word, are too few for a test"
    assert table["value"].null_count() == len(table)


def test_shared_increments_depend_on_the_token_alone() -> None:
    model = copying_model(increments={"scope": "shared"}, blind_second_layer=True)
    table = pairs(model, ENTITIES).filter(control="reversed", type="all")
    assert table.select("layer", "p_value").rows() == [(None, None)]
    assert "because it depends on the token alone" in table["note"].item()


def test_steps_that_hardly_vary_are_compared_all_the_same() -> None:
    model = copying_model()
    with increments_by_bytes(model, lambda text: 1 + 1e-5 * pseudo_random(text)):
        table = pairs(model, ENTITIES).filter(control="reversed", type="all", site="space")
    later = table.filter(pl.col("layer") > 0)
    assert later["p_value"].null_count() == 0
    with increments_by_bytes(model, lambda text: 1.0):
        table = pairs(model, ENTITIES).filter(control="reversed", type="all", site="space")
    assert [note.endswith("because it depends on the token alone") for note in table["note"]] == [
        layer == 0 for layer in table["layer"]
    ]


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="--language chooses a bundled list, and --pairs gives another; leave out"):
        MEASURE.take(copying_model(), Inputs(pairs=ENTITIES, language="zh"))
    with pytest.raises(NoIncrementsError):
        pairs(copying_model(increments=None), ENTITIES)
    with pytest.raises(NotMeasurableError, match="some of the pairs are Chinese and some are not"):
        pairs(copying_model(), [*ENTITIES, *CHINESE])


def test_a_control_that_cannot_be_measured_takes_no_other_away(make_corpus: Callable[..., Corpus]) -> None:
    model = lookup_model({}, {})
    without = pairs(model, ENTITIES)
    # Nothing matches, and no first word occurs.
    given = pairs(model, ENTITIES, corpus=make_corpus(en=(["of this and of that"] * 12, ["nothing"])))
    carried = pl.col("control").is_in(["reversed", "recombined"])
    assert given.filter(carried).equals(without.filter(carried))
    notes = dict(given.filter(~carried, pl.col("value").is_null()).select("control", "note").rows())
    assert "occur 10 times in the training corpus" in notes["matched"]
    assert "contains one of 16 first words, as 'Amber'" in notes["same first"]
    # One first part only.
    alike = [Pair("Big", word.strip(","), "x") for word in PLACES.split()[:12]]
    table = pairs(copying_model(), alike)
    assert row(table, "reversed", "space")["n"] == 12
    note = table.filter(control="recombined")["note"].item()
    assert note.startswith("not measurable: 'Big Amber' cannot be recombined")


def test_pairs_that_no_document_contains_are_refused(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(en=(["nothing"], ["nothing"]))
    with pytest.raises(NotMeasurableError, match="contains one of 16 pairs, as 'Amber Alley'"):
        scores_in_passages(copying_model(), None, ENTITIES, corpus)
