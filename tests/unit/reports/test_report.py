"""Reports: every measure in its place, what is missing with its reason, published figures beside the measured ones."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from markupsafe import escape

from howfar.charts.text_tables import Column, in_words, notes, readable
from howfar.errors import (
    CheckpointError,
    ConfigError,
    HowFarError,
    ModelNotFoundError,
    OutputError,
    TextError,
    UnsupportedModelError,
)
from howfar.measures.calibration import Setup, calibration
from howfar.measures.inputs import Inputs
from howfar.measures.registry import MEASURES
from howfar.models.loading import save
from howfar.positions import IncrementConfig
from howfar.progress import Progress
from howfar.reports.page import html
from howfar.reports.published import beside_published, kind_of, published
from howfar.reports.report import Report, report
from howfar.text.segmentation import Segmentation
from support.copying import copying_model

TEXTS = [f"The keeper of light {number} saw {number * 7} ships, and slept." for number in range(12)]
GOLD = [Segmentation("一唐七唑丁", (2, 4)), Segmentation("丁一唯七", (1, 3))] * 6
QUICK = ["increments", "boundaries", "vocabulary", "neutrality"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Folders of a model with increments and of one without."""
    folder = tmp_path_factory.mktemp("models")
    save(copying_model(), folder / "learned")
    save(copying_model(increments=None), folder / "plain")
    return str(folder / "learned"), str(folder / "plain")


@pytest.fixture(scope="module")
def found(models: tuple[str, str]) -> Report:
    return report(models, Inputs(texts=TEXTS, gold=GOLD), measures=QUICK)


def test_each_measure_is_taken_of_what_there_is(models: tuple[str, str], found: Report) -> None:
    learned = "learned"  # not where it is: a page is shown to others
    assert found.models == ("learned", "plain")
    assert [(section.title, section.model) for section in found.sections] == [
        ("increments", learned),
        ("boundaries (Chinese words, gold)", learned),
        ("boundaries (Chinese words, jieba)", learned),
        ("boundaries (words)", learned),
        ("boundaries (sentences)", learned),
        ("vocabulary", learned),
        ("neutrality", learned),
    ]
    missing = {section.title: section.missing for section in found.sections if section.table is None}
    assert set(missing) == {"boundaries (Chinese words, jieba)", "boundaries (sentences)"}
    assert "no document has two Chinese characters" in missing["boundaries (Chinese words, jieba)"]


def test_plain_models_are_compared_with(models: tuple[str, str], found: Report) -> None:
    neutrality = found.sections[-1]
    assert neutrality.table is not None
    assert set(neutrality.table["against"].drop_nulls()) == {"plain"}


def test_the_page_holds_all_of_it_and_needs_no_network(found: Report, tmp_path: Path) -> None:
    found.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for section in found.sections:
        assert f'<section id="{section.measure.name}">' in page
        assert escape(section.missing) in page
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert len(content["charts"]) == page.count('<div class="chart"') == 4
    assert page.count("No chart: there is nothing to draw") == 1  # all tokens of the vocabulary have the same increment
    assert ".csv" not in page.partition("<main>")[2].partition("<script")[0]  # no advice for the command line
    assert all("config" not in chart for chart in content["charts"])  # the page's own theme decides
    assert published()["source"].split(",")[0] in page
    assert page.count("<h4>Beside the published figures</h4>") >= 3
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!#)", markup)
    assert "default-src 'none'" in markup


def test_all_measures_are_those_of_models(models: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("howfar.reports.report._measured", lambda section, model, progress: section)
    taken = {section.measure.name for section in report(models, Inputs(), measures=None).sections}
    assert {"increments", "neutrality"} <= taken
    assert "calibration" not in taken  # it trains models of its own for minutes, and says nothing about these


def test_tables_are_written_under_readable_names(found: Report, tmp_path: Path) -> None:
    paths = found.save_tables(tmp_path / "tables")
    assert [path.name for path in paths] == [
        "learned-increments.parquet",
        "learned-boundaries-Chinese-words,-gold.parquet",
        "learned-boundaries-words.parquet",
        "learned-vocabulary.parquet",
        "learned-neutrality.parquet",
    ]
    tables = [section.table for section in found.sections if section.table is not None]
    for path, table in zip(paths, tables, strict=True):
        assert pl.read_parquet(path).equals(table)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be created"):
        found.save_tables(tmp_path / "file")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("one/model", "two/model"), ["one-model", "two-model"]),
        (("/one/model", "two/model"), ["one-model", "two-model"]),
        (("owner/first", "owner/second"), ["first", "second"]),
    ],
)
def test_tables_of_models_of_one_name_are_kept_apart(
    found: Report, tmp_path: Path, labels: tuple[str, str], names: list[str]
) -> None:
    section = next(section for section in found.sections if section.measure.name == "vocabulary")
    both = Report(labels, tuple(replace(section, model=label) for label in labels))
    paths = both.save_tables(tmp_path / "tables")
    assert [path.name for path in paths] == [f"{name}-vocabulary.parquet" for name in names]
    assert all(path.exists() for path in paths)


def test_names_from_models_and_texts_are_no_markup(found: Report) -> None:
    spoilt = Report(("<b>x</b>",), found.sections[:1])
    assert "<b>x</b>" not in html(spoilt)
    assert "&lt;b&gt;x&lt;/b&gt;" in html(spoilt)


def test_what_a_report_cannot_be_of(models: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="there is no measure 'increment'; did you mean increments"):
        report(models, Inputs(texts=TEXTS), measures=["increment"])
    with pytest.raises(ConfigError, match="a report needs a model"):
        report([], Inputs(texts=TEXTS))
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        report(["no-such-model"], Inputs(texts=TEXTS))


def test_without_texts_it_says_what_is_needed(models: tuple[str, str]) -> None:
    found = report(models[:1], Inputs(), measures=["increments", "vocabulary"])
    assert found.sections[0].missing == "increments needs text; give --corpus FOLDER or --text FILE"
    assert found.sections[1].table is not None


def test_a_measure_without_a_variant_says_what_is_needed(models: tuple[str, str]) -> None:
    (section,) = report(models, Inputs(), measures=["boundaries"]).sections
    assert "boundaries needs a gold segmentation or text; give --gold FILE or --corpus" in section.missing
    assert section.missing in html(Report(("learned",), (section,)))


def test_a_measure_of_increments_says_that_there_are_none(models: tuple[str, str]) -> None:
    found = report(models[1:], Inputs(texts=TEXTS), measures=["increments", "vocabulary"])
    reason = "measures learned increments, and this model has plain positions; name a model with increments"
    assert [section.missing for section in found.sections] == [
        f"{name} {reason}" for name in ("increments", "vocabulary")
    ]
    assert {section.measure.of_plain for section in report(models[1:], Inputs()).sections} == {True}


@pytest.mark.parametrize("error", [UnsupportedModelError, CheckpointError, TextError])
def test_one_refusal_does_not_cost_the_other_sections(
    models: tuple[str, str], monkeypatch: pytest.MonkeyPatch, error: type[HowFarError]
) -> None:
    refused = replace(MEASURES["vocabulary"], run=partial(refuse, error("it is not so; take another")))
    taken = {"refused": refused, "usual": MEASURES["increments"]}
    monkeypatch.setattr("howfar.reports.report.measure_named", taken.__getitem__)
    sections = report(models[:1], Inputs(texts=TEXTS), measures=list(taken)).sections
    assert [section.missing for section in sections] == ["it is not so; take another", ""]
    taken["refused"] = replace(refused, run=partial(refuse, TypeError("a fault of ours")))
    with pytest.raises(TypeError, match="a fault of ours"):
        report(models[:1], Inputs(texts=TEXTS), measures=list(taken))


def refuse(error: Exception, *_: object) -> None:
    raise error


def test_a_model_without_positions_has_a_report(tmp_path: Path) -> None:
    save(copying_model(increments=None, encoding={"name": "nope"}), tmp_path / "bare")
    (section,) = report([str(tmp_path / "bare")], Inputs(texts=TEXTS), measures=["gap_effects"]).sections
    assert "positions reach no layer of this model" in section.missing


def test_calibration_is_of_no_model_and_taken_once(
    models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (("hidden_size", 8), ("intermediate_size", 8), ("num_hidden_layers", 1), ("num_attention_heads", 1))
    tiny = Setup(4, 30, 12, 40, (*sizes, ("max_position_embeddings", 64)), num_steps=2, batch_size=2)
    monkeypatch.setattr("howfar.measures.calibration.calibration", partial(calibration, kinds=["random"], setup=tiny))
    told: list[str] = []

    def watch(what: str) -> Progress:
        told.append(what)
        return lambda done, in_all: told.append(f"{done} of {in_all}")

    found = report(models, Inputs(seed=3), measures=["calibration", "vocabulary"], watch=watch)
    assert [(section.title, section.model) for section in found.sections] == [
        ("calibration", "made-up text"),
        ("vocabulary", "learned"),
    ]
    section = found.sections[0]
    assert told[:3] == ["calibration of made-up text", "0 of 1", "1 of 1"]
    assert section.table is not None
    assert section.table.equals(calibration(kinds=["random"], seed=3, setup=tiny))
    assert section.beside is None
    part = re.search(r'<section id="calibration">.*?</section>', html(found), re.DOTALL)
    assert part is not None
    for said in ("<h3>made-up text</h3>", escape(section.measure.question), "nothing, rightly", 'class="chart"'):
        assert said in part[0]
    assert found.save_tables(tmp_path / "tables")[0].name == "made-up-text-calibration.parquet"


class TestPublishedFigures:
    def test_aucs_of_the_same_layer(self) -> None:
        rows = {"target": "chinese-words", "quantity": "auc", "score": "increment", "scored_at": "lead byte", "head": 0}
        table = pl.DataFrame([rows | {"layer": layer, "value": 0.6, "low": 0.5, "high": 0.7} for layer in (0, 5, 6)])
        beside = beside_published("boundaries", table, "per_layer")
        assert beside is not None
        assert beside["original"].to_list() == [0.50, 0.47, None]  # there was no layer 6
        assert beside["replica"].to_list() == [0.516, 0.411, None]
        assert beside.row(1, named=True)["measured"] == 0.6
        shared = beside_published("boundaries", table.with_columns(layer=None).head(1), "shared")
        assert shared is not None
        assert shared.select("original", "replica").row(0) == (0.498, 0.497)
        other = table.with_columns(target=pl.lit("words"))
        assert beside_published("boundaries", other, "per_layer") is None

    def test_increments_of_the_same_class(self) -> None:
        rows = [{"head": 0, "class": "space", "value": 1.7}, {"head": 0, "class": "lowercase", "value": 0.85}]
        table = pl.DataFrame(
            [row | {"over": over, "layer": 0} for over in ("text", "vocabulary") for row in rows],
            schema_overrides={"layer": pl.Int64},
        )
        beside = beside_published("increments", table, "per_layer")
        assert beside is not None
        assert beside["figure"].to_list() == [
            "increment of space over that of lowercase, in text",
            "increment of space over that of lowercase, over the vocabulary",
        ]
        assert beside["original"].to_list() == [pytest.approx(9.99 / 1.64)] * 2
        assert beside["replica"].to_list() == [pytest.approx(9.87 / 1.42)] * 2
        assert beside["measured"].to_list() == [2.0, 2.0]
        shared = beside_published("increments", table.with_columns(layer=pl.lit(None, pl.Int64)), "shared")
        assert shared is not None
        assert shared["original"].to_list() == [pytest.approx(1.05 / 0.79)] * 2
        later = beside_published("increments", table.with_columns(layer=pl.lit(3, pl.Int64)), "per_layer")
        assert later is None  # nothing was published of layer 3's

    def test_increments_in_code(self) -> None:
        classes = {"all": (2.5, 900), "indentation": (1.0, 30), "bracket": (3.0, 50), "newline": (5.0, 10)}
        row = {"over": "text", "head": 0, "low": 0.5, "high": 6.0}
        table = pl.DataFrame(
            [
                row | {"layer": layer, "class": name, "value": value, "num_tokens": num_tokens}
                for layer in (2, 6)
                for name, (value, num_tokens) in classes.items()
            ]
        )
        beside = beside_published("increments", table, "per_layer")
        assert beside is not None
        assert beside.drop("replica").rows() == [  # nothing was published of layer 6
            ("mean increment of newline/indent, in code", 2, 8.35, 2.0, None, None),
            ("mean increment of brackets, in code", 2, 8.39, 3.0, 0.5, 6.0),
        ]
        assert beside_published("increments", table.with_columns(layer=pl.lit(None, pl.Int64)), "shared") is None

    def test_entities_against_their_reverse(self) -> None:
        row = {"control": "reversed", "type": "all", "head": 0, "site": "space", "value": -0.1}
        table = pl.DataFrame([row | {"layer": 4, "low": -0.2, "high": 0.0, "control_mean": 0.5}])
        beside = beside_published("pairs", table, "per_layer")
        assert beside is not None
        assert beside.row(0, named=True)["original"] == pytest.approx(0.86 / 1.21)
        assert beside.select("measured", "low", "high").row(0) == pytest.approx((0.8, 0.6, 1.0))

    def test_losses_as_differences(self) -> None:
        table = pl.DataFrame(
            [{"against": "plain", "source": "all", "pair": 0, "value": 0.01, "low": 0.0, "high": 0.02}]
        )
        beside = beside_published("neutrality", table, "per_layer")
        assert beside is not None
        assert beside["original"].item() == pytest.approx(1.0722 - 1.0753)
        per_head = beside_published("neutrality", table, "per_layer_per_head")
        assert per_head is not None
        assert per_head["original"].item() == pytest.approx(1.0701 - 1.0753)
        assert beside_published("neutrality", table, "pope") is None, "on this text no loss of one was published"

    @pytest.mark.parametrize("measure", ["increments", "boundaries", "pairs"])
    def test_one_of_several_heads_is_not_taken_for_the_layer(self, measure: str) -> None:
        table = pl.DataFrame({"head": [0, 1], "value": [0.1, 0.9]})
        assert beside_published(measure, table, "per_layer") is None

    @pytest.mark.parametrize("control_mean", [-0.5, 0.0])
    def test_steps_back_have_no_proportion(self, control_mean: float) -> None:
        row = {"control": "reversed", "type": "all", "head": 0, "site": "space", "value": -0.1, "layer": 4}
        table = pl.DataFrame([row | {"low": -0.2, "high": 0.0, "control_mean": control_mean}])
        assert beside_published("pairs", table, "per_layer") is None

    def test_correlations_over_heads(self) -> None:
        row = {"quantity": "correlation over heads", "unit": "tokens", "value": 0.1, "low": 0.0, "high": 0.2}
        beside = beside_published("attention", pl.DataFrame([row]), "per_layer")
        assert beside is not None
        assert (beside["original"].item(), beside["measured"].item()) == (-0.349, 0.1)

    @pytest.mark.parametrize(("kind", "accuracy"), [("rope", 0.903), ("pope", 0.854), ("shared", 0.926)])
    def test_indirect_indexing(self, kind: str, accuracy: float) -> None:
        row = {"hops": 1, "offset": None, "value": 0.9, "low": 0.8, "high": 0.95}
        schema = {"offset": pl.Int64}
        table = pl.DataFrame([row, row | {"hops": 2}, row | {"offset": 3}], schema_overrides=schema)
        beside = beside_published("indexing", table, kind)
        assert beside is not None
        assert beside.drop("replica").rows() == [
            ("accuracy of indirect indexing, one hop", None, accuracy, 0.9, 0.8, 0.95)
        ]
        assert beside_published("indexing", table, "per_layer") is None
        assert beside_published("indexing", table.tail(2), kind) is None

    def test_only_models_of_a_published_kind_are_compared(self) -> None:
        learned = IncrementConfig(scope="shared")
        assert [kind_of(learned, name) for name in (None, "rotary", "pope", "alibi")] == [
            "shared",
            "shared",
            None,
            None,
        ]
        assert [kind_of(None, name) for name in (None, "rotary", "pope", "nope")] == ["rope", "rope", "pope", None]

    def test_of_other_measures_nothing_was_published(self) -> None:
        assert beside_published("interventions", pl.DataFrame({"change": [0.1]}), "shared") is None


class TestReadableTables:
    TABLE = pl.DataFrame(
        {
            "name": ["a", "b", "c"],
            "empty": [None, None, None],
            "value": [0.12345, None, 2.0],
            "low": [0.1, None, None],
            "high": [0.2, None, None],
            "note": [None, "not measurable: why", None],
            "num_gaps": [1200, 0, 3],
        }
    )

    def test_intervals_stand_with_their_values_and_empty_columns_are_left_out(self) -> None:
        headings, rows = readable(self.TABLE, ["name", "empty", "value [low, high]", "num_gaps"], 10)
        assert headings == ["name", "value", "gaps"]
        assert rows == [["a", "0.12 ±0.08", "1200"], ["c", "2", "3"]]

    def test_where_nothing_has_a_number_there_are_no_rows(self) -> None:
        nothing = self.TABLE.with_columns(value=pl.lit(None, pl.Float64))
        assert readable(nothing, ["name", "value [low, high]"], 10)[1] == []

    def test_notes_are_said_once(self) -> None:
        assert notes(self.TABLE) == ["not measurable: why"]
        twice = pl.concat([self.TABLE, self.TABLE])
        assert notes(twice) == ["not measurable: why (2 rows)"]

    @pytest.mark.parametrize(
        ("value", "words"), [(None, ""), (True, "yes"), (False, "no"), (3, "3"), (0.00012345, "0.000123"), ("x", "x")]
    )
    def test_values_in_words(self, value: object, words: str) -> None:
        assert in_words(value) == words

    def test_every_measures_columns_can_be_read(self) -> None:
        for measure in MEASURES.values():
            assert all(Column.parse(column).value for column in measure.columns)
