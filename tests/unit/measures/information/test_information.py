"""Information, of increments that are known to tell a label, to repeat the word, or to tell nothing."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedModel

from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.files import read_gold
from howfar.measures.information import information
from howfar.measures.information.estimation import Controls, dependence_test, fit_baseline, gains
from howfar.measures.information.items import items_of_words, labels_of
from howfar.models.loading import load, tokenizer_of
from howfar.positions import IncrementConfig, attach
from howfar.reading import trace_many
from howfar.text.conllu import Token, Word
from howfar.text.segmentation import Segmentation, read_conllu
from support.grafts import make_base
from support.lookup import lookup_model
from support.models import stir

Array = NDArray[Any]


def words(seed: int, num: int = 1200, num_documents: int = 30) -> dict[str, Array]:
    """Words whose labels follow from the word and the one before it, in part."""
    generator, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    identity = np.minimum(generator.zipf(1.5, num) - 1, 29)
    previous = np.roll(identity, 1)
    chances = np.exp(fixed.normal(size=(30, 3))[identity] + 0.7 * fixed.normal(size=(30, 3))[previous])
    chances /= chances.sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < generator.random((num, 1))).sum(axis=1)
    usual = fixed.normal(size=30)
    entropy = generator.normal(size=num) + usual[identity]
    repeats = usual[identity] + 0.8 * usual[::-1][previous] + 0.5 * entropy
    documents = np.repeat(np.arange(num_documents), num // num_documents)
    return {
        "labels": labels, "identity": identity, "previous": previous, "entropy": entropy, "documents": documents,
        "repeats": repeats, "noise": generator.normal(size=num),
    }  # fmt: skip


def estimated(data: dict[str, Array], increments: Array, seed: int = 0, num_draws: int = 99) -> tuple[float, float]:
    """The information in bits and its p-value."""
    context = [data[name] for name in ("identity", "previous", "entropy", "documents")]
    baseline = fit_baseline(data["labels"], *context)
    curves = Controls(*context).residual_curves(increments)
    assert curves is not None
    p_value = dependence_test(
        [curves], [baseline.residuals], data["identity"], data["documents"], num_draws=num_draws, seed=seed
    )
    return float(gains(baseline, curves, seed).mean()), float(p_value.item())


def test_a_planted_effect_is_found_in_the_mean_and_in_the_spread() -> None:
    data = words(0, num=1800)
    shifted = data["repeats"] + data["noise"] + 0.8 * (data["labels"] == 1)
    spread = data["repeats"] + data["noise"] * (1 + (data["labels"] == 2))
    for increments in (shifted, spread):
        bits, p_value = estimated(data, increments)
        assert bits > 0.02
        assert p_value == 0.01


def test_the_information_of_a_label_that_nothing_else_tells_is_what_it_should_be() -> None:
    generator = np.random.default_rng(0)
    data = words(0, num=6000)
    data["labels"] = generator.integers(0, 2, 6000)
    # The increment is right about the label in nine of ten cases.
    told = np.where(generator.random(6000) < 0.9, data["labels"], 1 - data["labels"])
    bits, _ = estimated(data, data["repeats"] + told + 1e-3 * data["noise"])
    expected = 1 + 0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)
    assert bits == pytest.approx(expected, abs=0.06)


def test_a_confound_by_the_word_vanishes() -> None:
    data = words(1)
    context = [data[name] for name in ("identity", "previous", "entropy", "documents")]
    usual = np.random.default_rng(5).normal(size=30)
    # The increment is one for each word, which tells its labels well.
    controls = Controls(*context)
    assert controls.residual_curves(usual[data["identity"]]) is None
    assert controls.residual_curves(usual[data["identity"]] + usual[::-1][data["previous"]]) is None
    bits, p_value = estimated(data, usual[data["identity"]] + 0.3 * data["noise"])
    assert abs(bits) < 0.02
    assert p_value > 0.05


def test_a_planted_null_is_rejected_in_about_one_of_twenty() -> None:
    rejected = 0
    for seed in range(60):
        data = words(seed, num=400, num_documents=20)
        _, p_value = estimated(data, data["repeats"] + data["noise"], seed, num_draws=39)
        rejected += p_value <= 0.05
    assert rejected <= 8  # more in one of 160 times at 5%


def rare_words(seed: int) -> tuple[dict[str, Array], Array]:
    """Most words occur once or twice; labels and increments follow from the word before, and drift by document."""
    generator = np.random.default_rng(seed)
    identity = np.minimum(generator.zipf(1.35, 800) - 1, 400)
    previous, documents = np.roll(identity, 1), np.repeat(np.arange(40), 20)
    pull = np.random.default_rng(99).normal(size=401)
    drift = generator.normal(size=40)[documents]
    labels = (pull[previous] + drift + generator.normal(size=800) > 0).astype(np.int64)
    names = ("labels", "identity", "previous", "entropy", "documents")
    data = dict(zip(names, (labels, identity, previous, generator.normal(size=800), documents), strict=True))
    return data, pull[identity] + pull[previous] + drift


def test_rare_words_leave_nothing_of_what_repeats_them_and_reject_no_more_than_others() -> None:
    rejected = 0
    for seed in range(30):
        data, repeats = rare_words(seed)
        context = [data[name] for name in ("identity", "previous", "entropy", "documents")]
        if seed < 3:
            assert Controls(*context).residual_curves(repeats) is None
        noise = np.random.default_rng(1000 + seed).normal(size=800)
        _, p_value = estimated(data, repeats + 0.5 * noise, seed, num_draws=39)
        rejected += p_value <= 0.05
    assert rejected <= 5


@pytest.mark.parametrize(("persistence", "length_of_runs"), [(0.9, 20), (0.97, 40), (0.0, 20)])
def test_neighbours_that_resemble_each_other_are_no_evidence(persistence: float, length_of_runs: int) -> None:
    """As classes of code do, labels come in runs; increments drift along a document, whatever the labels are."""
    rejected = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        documents, shape = np.repeat(np.arange(40), 80), (40, 80)
        runs = np.cumsum(generator.random(shape) < 1 / length_of_runs, axis=1)
        labels = (runs + generator.integers(2, size=(40, 1))) % 2
        drift = np.empty(shape)
        drift[:, 0] = generator.normal(size=40)
        for place in range(1, 80):
            noise = np.sqrt(1 - persistence**2) * generator.normal(size=40)
            drift[:, place] = persistence * drift[:, place - 1] + noise
        identity = generator.integers(0, 30, documents.size)
        context = {"identity": identity, "previous": np.roll(identity, 1), "documents": documents}
        data = context | {"labels": labels.ravel().astype(np.int64), "entropy": generator.normal(size=documents.size)}
        _, p_value = estimated(data, drift.ravel(), seed, num_draws=39)
        rejected += p_value <= 0.05
    assert rejected <= 6  # more in one of 70 times at 5%


def test_the_p_value_of_the_largest_of_many_holds_for_all() -> None:
    alone = together = 0
    for seed in range(16):
        data = words(seed)
        context = [data[name] for name in ("identity", "previous", "entropy", "documents")]
        of_items = [fit_baseline(data["labels"], *context).residuals], data["identity"], data["documents"]
        generator, controls = np.random.default_rng(seed), Controls(*context)
        many = [controls.residual_curves(generator.normal(size=1200)) for _ in range(10)]
        alone += min(dependence_test([own], *of_items, num_draws=39).item() for own in many) <= 0.05
        together += dependence_test(many, *of_items, num_draws=39).min() <= 0.05
    assert alone >= 3  # each of 160 increments has its chance of one in twenty
    assert together <= 3


def sentence(number: int, nouns: bool = True, entity: str = "") -> str:
    rows = []
    generator = np.random.default_rng(number)
    for place in range(1, 9):
        is_noun = generator.random() < 0.5 and nouns
        form = "ab"[generator.integers(2)] + ("n" if is_noun and generator.random() < 0.9 else "v")
        notes = f"{entity}=B-X" if entity and is_noun else "_"
        feature = "Number=Sing" if is_noun else "_"
        tag = "NOUN" if is_noun else "VERB"
        rows.append(f"{place}\t{form}\t_\t{tag}\t_\t{feature}\t{place - 1}\t_\t_\t{notes}")
    return "\n".join(rows)


def annotated(tmp_path: Path, num: int = 30, **options: Any) -> list[Segmentation]:
    path = tmp_path / "a.conllu"
    path.write_text("\n\n".join(sentence(number, **options) for number in range(num)) + "\n", encoding="utf-8")
    return list(read_conllu(path))


def test_words_of_a_model_have_their_increments_and_labels(tmp_path: Path) -> None:
    sentences = annotated(tmp_path, num=2, entity="NER")
    model = lookup_model({ord("a"): 2.0, ord("n"): 5.0, ord(" "): 3.0})
    items = items_of_words(model, sentences, tokenizer_of(model), max_items=100)
    assert len(items) == 2 * 7  # the first word has none before it
    forms = [unit for own in sentences for unit in own.units[1:]]
    expected = {"a": 2.0, "b": 1.0, "n": 5.0, "v": 1.0}
    assert items.increments[0, 0, 0].tolist() == [expected[form[0]] for form in forms]
    assert items.increments[1, 0, 0].tolist() == [expected[form[0]] + expected[form[1]] for form in forms]
    assert items.increments[2, 0, 0].tolist() == [3.0] * 14
    names = {name: [items.classes[name][number] for number in own] for name, own in items.labels.items()}
    tags = [token.words[0].part_of_speech for own in sentences for token in own.tokens[1:]]
    assert names["part of speech"] == tags
    assert names["entity"] == ["begins" if tag == "NOUN" else "outside" for tag in tags]
    assert names["feature Number"] == ["Sing" if tag == "NOUN" else "none" for tag in tags]
    assert set(names["dependency distance"]) == {"1 before"}


def of_forms(*forms: str) -> Segmentation:
    """The words with a space after each, except those that end with `_`."""
    spelled = [form.removesuffix("_") for form in forms]
    words = [Word(number, "X", {}, None, {}) for number in range(1, len(forms) + 1)]
    tokens = tuple(
        Token(form, (word,), is_spaced=form == given) for form, given, word in zip(spelled, forms, words, strict=True)
    )
    pieces = [token.form + " " * token.is_spaced for token in tokens]
    return Segmentation("".join(pieces).rstrip(), tuple(accumulate(map(len, pieces[:-1]))), tokens)


@pytest.fixture(scope="module")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    model = load(make_base(tmp_path_factory.mktemp("subwords") / "base"))
    stir(attach(model, IncrementConfig(scope="shared")))
    return model


def test_subwords_may_begin_with_the_space_before_a_word(subwords: PreTrainedModel) -> None:
    sentence = of_forms("the", "cat", "cat", "on", "a", "mat_", ".")
    items = items_of_words(subwords, [sentence], tokenizer_of(subwords), max_items=100)
    trace = next(iter(trace_many(subwords, [sentence.text], tokenizer_of(subwords))))
    steps = trace.increments[0, 0, -7:]
    assert trace.token_bytes[-6:, 0].tolist() == [3, 7, 11, 14, 16, 20]  # a token for each word, from the space on
    assert items.num_left_out == 0
    np.testing.assert_allclose(items.increments[:, 0, 0], [steps[1:], steps[1:], steps[:-1]], rtol=1e-6)


def test_words_that_share_a_token_with_others_are_left_out(
    subwords: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howfar.measures.information.items.trace_many", lambda _, texts, __: (cut for _ in texts))
    sentence = of_forms("a", "b_", "._", '"_', "c", "d")
    cuts = np.array([0, 1, 3, 5, 6, 8])  # a, " b", '."', "c", " d"
    tokenizer = tokenizer_of(subwords)
    cut = replace(
        next(iter(trace_many(subwords, ["abcde"], tokenizer))),
        text=sentence.text,
        token_bytes=np.stack([cuts[:-1], cuts[1:]], axis=1),
    )
    assert len(cut) == 5
    items = items_of_words(subwords, [sentence], tokenizer, max_items=100)
    assert items.num_left_out == 2
    np.testing.assert_allclose(items.increments[1, 0, 0], cut.increments[0, 0, [1, 3, 4]], rtol=1e-6)
    with pytest.raises(NotMeasurableError, match=r"each of 2 words after the first .* shares a token of the model"):
        information(subwords, [of_forms("a_", "._", '"')], num_draws=9)
    # Blanks may as well stand at the end of a token.
    cuts = np.array([0, 2, 3, 5, 7, 8])  # "a ", b, '."', "c ", "d"
    cut = replace(cut, token_bytes=np.stack([cuts[:-1], cuts[1:]], axis=1))
    assert items_of_words(subwords, [sentence], tokenizer, max_items=100).num_left_out == 2


def test_increments_that_repeat_the_word_are_said_to(tmp_path: Path) -> None:
    table = information(lookup_model({ord("n"): 5.0}), annotated(tmp_path), num_draws=39)
    speech = table.filter(label="part of speech", scored_at="whole word").row(0, named=True)
    assert speech["value"] is None
    assert "a function of the tokens" in speech["note"]
    distance = table.filter(label="dependency distance")["note"].to_list()
    assert distance == ["not measurable: all 210 tokens with the label 'dependency distance' are '1 before'"]


def test_entities_in_brackets_multiword_tokens_and_documents(tmp_path: Path) -> None:
    rows = [
        "1\tA\t_\tX\t_\t_\t_\t_\t_\tEntity=(person",
        "2\tB\t_\tX\t_\t_\t_\t_\t_\t_",
        "3-4\tC\t" + "\t".join("_" * 8),
    ]
    rows += [
        "3\tc\t_\tX\t_\t_\t_\t_\t_\tEntity=person)",
        "4\td\t_\tX\t_\t_\t_\t_\t_\t_",
        "5\tE\t_\tX\t_\t_\t_\t_\t_\t_",
    ]
    path = tmp_path / "a.conllu"
    path.write_text("\n".join(["# newdoc", *rows, "", *rows, "", "# newdoc", *rows, ""]), encoding="utf-8")
    sentences = list(read_conllu(path))
    found = [labels.get("entity") for labels in labels_of(sentences[0].tokens)]
    assert found == ["begins", "inside", None, "outside"]
    model = lookup_model({})
    items = items_of_words(model, sentences, tokenizer_of(model), max_items=100)
    assert items.num_left_out == 3
    assert items.documents.tolist() == [0, 0, 0, 0, 1, 1]
    unmarked = tmp_path / "b.conllu"  # the sentences of a second file do not go on with the first one's last document
    unmarked.write_text("\n".join([*rows, "", *rows, ""]), encoding="utf-8")
    both = items_of_words(model, read_gold([path, unmarked]), tokenizer_of(model), max_items=100)
    assert both.documents.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_classes_of_code() -> None:
    files = [f"def f{number}(x):\n    return x + {number}2 * (x)\n" * 3 for number in range(12)]
    model = lookup_model({ord(" "): 2.0})
    table = information(model, files, classes="code", num_draws=39)
    assert set(table["label"]) == {"class of code"}
    assert set(table["scored_at"]) == {"this token", "token before"}


def test_a_label_that_only_one_document_tells_takes_no_other_away(tmp_path: Path) -> None:
    foreign = "_\tForeign=Yes"
    path = tmp_path / "a.conllu"
    parts = ["# newdoc\n" + "\n\n".join(sentence(20 * number + own) for own in range(20)) for number in range(12)]
    parts[3] = parts[3].replace("\t_\tNumber=Sing", f"\t{foreign}").replace("\tVERB\t_\t_", f"\tVERB\t{foreign}")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    table = information(lookup_model({ord("a"): 2.0}), list(read_conllu(path)), num_draws=9)
    notes = {label: table.filter(label=label)["note"].to_list() for label in ("feature Foreign", "part of speech")}
    assert [note.startswith("not measurable: without some documents, all ") for note in notes["feature Foreign"]] == [
        True
    ]
    assert all("is a function of the tokens" in note for note in notes["part of speech"]), "it was fitted"


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    model = lookup_model({})
    with pytest.raises(
        NotMeasurableError, match=r"all 210 tokens with the label 'part of speech' are 'VERB'.*; give text"
    ):
        information(model, annotated(tmp_path, nouns=False))
    with pytest.raises(NotMeasurableError, match=r"9 documents with the label .* are too few"):
        information(model, annotated(tmp_path, num=9), num_draws=9)
    with pytest.raises(NotMeasurableError, match="there is no labelled text"):
        information(model, [])
    with pytest.raises(ConfigError, match=r"the words of 'ab' have no labels; give sentences in CoNLL-U"):
        information(model, [Segmentation("ab", (1,))])
    subwords = load(make_base(tmp_path / "base"))
    attach(subwords, IncrementConfig(scope="shared"))
    with pytest.raises(ConfigError, match="classes are 'code'; give 'text', or 'code' for a model that reads bytes"):
        information(subwords, ["x = 1"] * 12, classes="code")
    with pytest.raises(ConfigError, match="classes are 'coed'; give 'text'"):
        information(model, ["x = 1"] * 12, classes="coed")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the words of 'x = 1' have no labels"):
        information(model, ["x = 1"] * 12)
