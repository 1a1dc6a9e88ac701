"""The charts and the page of contexts and calibration, from tables of known passages."""

import json
from html.parser import HTMLParser

import polars as pl
import pytest

from howfar.charts.glyphs import in_line
from howfar.charts.measures.calibration import draw_calibration
from howfar.charts.measures.contexts import draw_contexts
from howfar.measures.contexts import contexts
from support.lookup import lookup_model

ODD = 'a <script>alert("&")</script> q\u202e and\ttab\nline'
TEXTS = [ODD, "一猫", *["abc abd"] * 60]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return contexts(lookup_model({}, {ord("q"): 5.0, ord("a"): 2.0, ord("d"): 0.25, "一".encode()[0]: 3.0}), TEXTS)


class Reader(HTMLParser):
    """Collects the elements of a page and the text of passages."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.marked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "mark":
            self.marked.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "mark" and not self.marked[-1]:
            self.marked[-1] = data


def test_the_page_marks_each_scored_character(table: pl.DataFrame) -> None:
    reader = Reader()
    reader.feed(draw_contexts(table).render("html").decode())
    passages = table.filter(pl.col("rank").is_not_null())
    assert len(reader.marked) == len(passages)
    assert {"q", "d", "␣", "一"} <= set(reader.marked)
    assert reader.tags.count("section") == 2
    assert ("lang", "zh") in reader.attributes


def test_the_page_needs_no_network_and_no_script(table: pl.DataFrame) -> None:
    page = draw_contexts(table).render("html").decode()
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    assert not {"src", "onclick"} & {name for name, _ in reader.attributes}
    assert {value for name, value in reader.attributes if name == "href"} == {"#layer-0-head-0", "#layer-1-head-0"}
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_what_leaves_no_ink_is_made_visible(table: pl.DataFrame) -> None:
    page = draw_contexts(table).render("html").decode()
    assert "\u202e" not in page
    assert "U+202E" in page
    assert "⇥tab⏎line" in page
    assert in_line(" ") == "␣"
    assert in_line("a b\nc") == "a b⏎c"


def test_the_chart_shows_distribution_and_passages(table: pl.DataFrame) -> None:
    picture = draw_contexts(table)
    svg = picture.render("svg").decode()
    for said in ("layer 0", "layer 1", "increment, positions", "below its class"):
        assert said in svg
    datasets = [json.loads(rows) for rows in picture.chart.to_dict()["datasets"].values()]
    passages = next(rows for rows in datasets if "passage" in rows[0])
    assert len(passages) == len(table.filter(pl.col("rank").is_not_null()))
    assert any("⟦q⟧" in row["passage"] and row["increment"] == 5.0 for row in passages)
    assert picture.render("png").startswith(b"\x89PNG")


def test_heads_have_sections_of_their_own() -> None:
    tables = [{ord("q"): 5.0}, {ord("x"): 5.0}]
    page = draw_contexts(contexts(lookup_model(tables, tables), ["a q", "x b"])).render("html").decode()
    assert "Layer 1, head 1" in page
    shared = contexts(lookup_model({ord("q"): 5.0}, {}, scope="shared"), ["a q"])
    assert "All layers" in draw_contexts(shared).render("html").decode()


def test_calibration_has_a_panel_for_each_text() -> None:
    row = {"seed": 0, "quantity": "auc", "layer": None, "scored_at": None, "num_gaps": 9, "n": 10}
    row |= {"low_together": None, "high_together": None, "verdict": "found"}
    of_layer = {"score": "increment", "layer": 1, "scored_at": "lead byte", "low_together": 0.5, "high_together": 0.9}
    rows = [
        row | {"text": "marked", "planted": True, "score": "entropy", "value": 0.9, "low": 0.8, "high": 0.95},
        row | {"text": "predictable", "planted": True, "value": 0.7, "low": 0.6, "high": 0.8} | of_layer,
        row | {"text": "predictable", "planted": False, "value": 0.5, "low": 0.4, "high": 0.6} | of_layer,
        row | {"text": "random", "planted": False, "score": "entropy + surprisal", "value": 0.5, "low": 0.4, "high": 1},
    ]
    picture = draw_calibration(pl.DataFrame(rows, infer_schema_length=None))
    svg = picture.render("svg").decode()
    for said in ("marked", "predictable, random boundaries", "increment, layer 1, lead byte", "ROC-AUC"):
        assert said in svg
    datasets = picture.chart.to_dict()["datasets"].values()
    drawn = [row for rows in datasets if isinstance(rows, str) for row in json.loads(rows)]
    assert [(row["panel"], row["shown_low"]) for row in drawn] == [
        ("marked", 0.8),
        ("predictable", 0.5),
        ("predictable, random boundaries", 0.5),
    ]
