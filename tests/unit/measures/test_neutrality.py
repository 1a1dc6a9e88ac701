import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.neutrality import MARGIN, check_paired, neutrality
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading import trace
from howfar.training.evaluation import document_losses
from support.copying import copying_model, repeating_texts
from support.lookup import lookup_model

TEXTS = repeating_texts(12, length=40)


def worse_by(change: float) -> HowFarForCausalLM:
    """The copying model with a flatter prediction: its loss is higher by about a constant per byte."""
    model = copying_model(increments=None)

    def flatten(module: Any, args: Any, output: Any) -> None:
        # Some of the probability goes to a byte that no text has.
        output.logits = torch.log_softmax(output.logits, dim=-1) - change
        output.logits[..., 255] = math.log(-math.expm1(-change)) if change else -1e9

    model.register_forward_hook(flatten)
    return model


def over_pairs(table: pl.DataFrame) -> dict[str, Any]:
    return table.filter(pl.col("pair").is_null(), source="all").row(0, named=True)


def test_known_non_equivalence_is_found() -> None:
    models = [worse_by(change) for change in (0.019, 0.02, 0.021)]
    table = neutrality(models, {"plain": [worse_by(0.0)] * 3}, TEXTS, margin=0.005)
    assert table.filter(pair=1)["value"].item() == pytest.approx(0.02, rel=1e-3)
    assert table.filter(pair=1)["low"].item() == pytest.approx(0.02, rel=1e-2)
    row = over_pairs(table)
    assert row["value"] == pytest.approx(0.02, rel=1e-3)
    assert row["low"] > 0.005
    assert not row["equivalent"]
    assert row["statement"].startswith(
        "higher loss by more than the margin; not shown equivalent within ±0.005: excludes differences below +0.01"
    )
    assert row["beyond_margin"]
    assert (row["n"], row["unit"]) == (3, "pairs")


def test_known_equivalence_is_shown_and_its_bounds_said() -> None:
    models = [worse_by(change) for change in (0.0, 0.001, 0.0005)]
    row = over_pairs(neutrality(models, {"plain": [worse_by(0.0005)] * 3}, TEXTS, margin=0.005))
    assert row["equivalent"]
    assert row["p_equivalence"] < 0.05
    assert -0.005 < row["excluded_below"] < 0 < row["excluded_above"] < 0.005
    assert row["statement"].startswith("no difference shown; equivalent within ±0.005: excludes differences below -0.0")


def test_without_an_interval_there_is_no_verdict() -> None:
    texts = [f"text {number} of the few texts" for number in range(12)]  # two lengths, so two different losses
    models = [lookup_model({}, certainty={ord("e"): weight}) for weight in (1.0, 0.0)]
    row = neutrality(models[:1], {"plain": models[1:]}, texts).row(0, named=True)
    assert row["value"] > 1
    assert [row[name] for name in ("low", "high", "equivalent", "beyond_margin", "statement")] == [None] * 5
    assert row["note"] == "no interval: too few documents contribute to the difference"


def test_the_margin_is_at_most_half_of_the_published_effect() -> None:
    published = 0.0031
    assert published / 2 >= MARGIN
    models = [worse_by(published + change) for change in (0.0, 0.0001, 0.0002)]
    row = over_pairs(neutrality(models, {"plain": [worse_by(0.0)] * 3}, TEXTS))
    assert row["beyond_margin"]
    assert not row["equivalent"]


def test_no_difference_is_not_equivalence() -> None:
    """Pairs that scatter widely around 0 show neither."""
    models = [worse_by(change) for change in (0.0, 0.04, 0.02)]
    row = over_pairs(neutrality(models, {"plain": [worse_by(0.02)] * 3}, TEXTS, margin=0.005))
    assert row["low"] < 0 < row["high"]
    assert not row["equivalent"]
    assert row["statement"].startswith("no difference shown; not shown equivalent within ±0.005")


def test_equal_models_are_equivalent_on_these_documents_but_one_pair_says_nothing_of_others() -> None:
    table = neutrality([copying_model()], {"plain": [copying_model()]}, TEXTS)
    within = table.filter(pair=0).row(0, named=True)
    assert within["value"] == within["low"] == within["high"] == 0
    assert within["equivalent"]
    assert within["unit"] == "documents"
    assert within["num_bytes"] == sum(map(len, TEXTS))
    across = over_pairs(table)
    assert across["note"].startswith("not measurable: fewer than two pairs of models tell nothing about others")
    assert across["equivalent"] is None


def test_a_parameter_matched_control_stands_beside(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(en=(["x"], TEXTS), zh=(["y"], repeating_texts(3, seed=1)))
    against = {"plain": [worse_by(0.0)], "parameter-matched": [worse_by(0.01)]}
    table = neutrality([worse_by(0.02)], against, corpus)
    found = {row["against"]: row["value"] for row in table.filter(pair=0, source="en").iter_rows(named=True)}
    assert found == pytest.approx({"plain": 0.02, "parameter-matched": 0.01}, rel=1e-2)
    few = table.filter(pair=0, source="zh", against="plain")
    assert few["note"].item().startswith("not measurable: 3 documents give no interval")
    assert few["low"].item() is None


def with_record(folder: Path, **changed: Any) -> HowFarForCausalLM:
    facts = {"seed": 0, "steps": 10, "hash": "abc", "length": 64, "rate": 1e-3, **changed}
    folder.mkdir()
    record = {
        "recipe": {
            "seed": facts["seed"],
            "model": {"max_position_embeddings": facts["length"]},
            "trainer": {"max_steps": facts["steps"], "learning_rate": facts["rate"]},
        },
        "corpus": {"hash": facts["hash"]},
        "windows_per_step": 4,
        "step": facts["steps"],
    }
    (folder / "training.json").write_text(json.dumps(record))
    model = copying_model()
    model.name_or_path = str(folder)
    return model


def test_pairs_are_checked_by_their_training_records(tmp_path: Path) -> None:
    one, other = with_record(tmp_path / "a"), with_record(tmp_path / "b")
    assert check_paired(one, other) == "same seed, data and steps"
    faster = with_record(tmp_path / "c", rate=2e-3)
    assert check_paired(one, faster) == "same seed, data and steps, but another learning_rate"
    assert check_paired(one, copying_model()) == "not verified: a model has no training record"


def test_windows_of_grafts_and_those_of_the_usual_length_are_compared(tmp_path: Path) -> None:
    usual, unsaid = with_record(tmp_path / "a", length=512), with_record(tmp_path / "b")
    grafts = [with_record(tmp_path / name) for name in "cd"]
    for model, recipe in ((unsaid, {"model": {}}), *zip(grafts, ({"context": 64}, {"context": 32}), strict=True)):
        file = Path(model.name_or_path, "training.json")
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "recipe": {"seed": 0, "trainer": record["recipe"]["trainer"], **recipe}}))
    assert check_paired(usual, unsaid).startswith("same seed, data and steps")
    with pytest.raises(NotMeasurableError, match="length of windows is 64 and 32"):
        check_paired(*grafts)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed is 0 and 1"),
        ({"hash": "def"}, "corpus is abc and def"),
        ({"steps": 20}, "step is 10 and 20"),
        ({"length": 32}, "length of windows is 64 and 32"),
    ],
)
def test_refuses_what_is_no_pair(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    one, other = with_record(tmp_path / "a"), with_record(tmp_path / "b", **changed)
    with pytest.raises(NotMeasurableError, match=f"are not a pair: {message}; compare models of the same seed"):
        neutrality([one], {"plain": [other]}, TEXTS)


def test_refuses_unequal_numbers_of_models() -> None:
    with pytest.raises(NotMeasurableError, match="1 models cannot be paired with 2 plain ones"):
        neutrality([copying_model()], {"plain": [copying_model()] * 2}, TEXTS)


@pytest.mark.parametrize("increments", [None, {"start": "random"}])
def test_the_loss_is_that_of_a_model_card_and_of_a_trace(
    make_corpus: Callable[..., Corpus], increments: dict[str, Any] | None
) -> None:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = HowFarConfig(**size, max_position_embeddings=48, initializer_range=0.4, increments=increments)
    model = HowFarForCausalLM(config).eval()
    english = [f"{number} roads diverged in a yellow wood, " * (number % 5 + 1) for number in range(12)]
    chinese = [f"{number}条路" * (5 * number + 1) for number in range(11)]
    corpus = make_corpus(en=(["x"], english), zh=(["y"], chinese))
    card = document_losses(model, corpus.held_out, length=48)
    table = neutrality([model], {"itself": [model]}, corpus)
    losses = dict(table.filter(pl.col("pair") == 0).select("source", "model").iter_rows())
    assert losses == {"all": card.nats_per_byte, **card.nats_per_byte_by_source()}
    traced = trace(model, english[4])
    assert traced.surprisal_nats.sum(dtype="float64") == pytest.approx(card.nats[4], rel=1e-6)


@pytest.mark.parametrize("shorter", ["model", "baseline"])
def test_who_can_read_farther_back_has_no_advantage(shorter: str) -> None:
    models = {"model": copying_model(), "baseline": copying_model()}
    models[shorter].config.max_position_embeddings = 8
    table = neutrality([models["model"]], {"plain": [models["baseline"]]}, TEXTS)
    assert table.filter(pair=0, source="all")["value"].item() == 0
