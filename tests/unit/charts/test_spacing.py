import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from howfar.charts.glyphs import width_in_ems
from howfar.charts.layout import FONT_SIZE
from howfar.charts.rows import SCALES
from howfar.charts.spacing import PAGE_WIDTHS, spacing
from howfar.errors import ConfigError
from howfar.positions import IncrementConfig
from support.traces import make_trace

SVG = "{http://www.w3.org/2000/svg}"
GOLDEN = Path(__file__).parents[2] / "golden" / "spacing.json"


def drawn(picture) -> dict[str, list[dict[str, Any]]]:
    return {name: json.loads(text) for name, text in picture.chart.to_dict()["datasets"].items()}


def said(picture) -> str:
    title = picture.chart.to_dict()["title"]
    return " ".join([*title["text"], *title["subtitle"]])


@pytest.mark.parametrize("scale", SCALES)
def test_the_picture_names_its_scale_and_its_model(scale):
    text = said(spacing(make_trace("ab", [[1, 2], [3, 4]], model_name="path/to/some-model"), scale=scale))
    assert f"Scale {scale}: {SCALES[scale]}." in text
    assert "How far apart some-model thinks these characters are" in text
    assert "path/to" not in text


def test_the_numbers_under_the_pointer_are_the_traces():
    trace = make_trace("a居", [2, 1, 0.5, 0.25])
    tables = drawn(spacing(trace, scale="raw"))
    (steps,) = tables["steps"]
    assert steps["row"] == ["plain", "plain", "layer 0", "layer 0"]
    assert steps["gap"] == [1, 3, 2, 1.75]
    assert steps["position"] == [1, 4, 2, 3.75]
    assert steps["increments"] == ["1", "1 + 1 + 1", "2", "1 + 0.5 + 0.25"]
    cell = tables["cells"][1]
    assert (cell["character"], cell["bytes"], cell["tokens"]) == ("居  U+5C45", "E5 B1 85", 3)
    assert cell["surprisal"] == pytest.approx(trace.surprisal_nats[1:].sum(), abs=1e-3)


def test_the_same_trace_gives_the_same_tables_as_ever():
    """Rewrite the file by hand if a picture is meant to change: `json.dumps(drawn(...), indent=1)`."""
    increments = np.array([[0.5, 0.5, 4, 1, 1, 1, 0], [1, 1, 1, 1, 2, 0.25, 3]])
    picture = spacing(make_trace("Hi 居!", increments, config=IncrementConfig()))
    assert drawn(picture) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_surprisal_and_entropy_colour_by_nats():
    for colour in ("surprisal", "entropy"):
        spec = json.dumps(spacing(make_trace("abc", [1, 2, 3]), colour=colour).chart.to_dict())
        assert f'"field": "{colour}"' in spec
        assert "in nats" in spec


def test_heads_are_named():
    trace = make_trace("ab", np.ones((2, 3, 2)), config=IncrementConfig(per_head=True))
    assert "mean over heads" in said(spacing(trace))
    assert "are, layer 1, head 2" in said(spacing(trace, layer=1, head=2))
    of_layer = spacing(trace, layer=1)
    assert "Each row is a head" in said(of_layer)
    assert drawn(of_layer)["rows"][1]["name"] == "head 0"


def test_the_description_says_what_is_to_be_seen():
    description = spacing(make_trace("abc", [1, 4, 0.5]), scale="raw").description
    assert "layer 0, mean 1.83: gaps from 0.50 (before c) to 4.00 (before b)." in description


def test_a_text_read_from_right_to_left_is_drawn_so():
    (steps,) = drawn(spacing(make_trace("שלום", np.ones(8))))["steps"]
    assert steps["x"][0] > steps["x"][3]
    assert "from right to left" in said(spacing(make_trace("שלום", np.ones(8))))


def test_subword_models_speak_of_tokens():
    trace = make_trace("ab cd", [1, 2], token_bytes=[(0, 2), (2, 5)])
    text = said(spacing(trace))
    assert "thinks these tokens are" in text
    assert "byte" not in text


def test_every_page_layout_draws_every_cell():
    text = "some words " * 40
    picture = spacing(make_trace(text, np.random.default_rng(0).uniform(0, 5, (2, len(text)))))
    pages = picture.pages()
    assert [page.width for page in pages] == list(PAGE_WIDTHS)
    for page in pages:
        cells = [cell["cell"] for sheet in page.sheets for cell in sheet.datasets["cells"]]
        assert cells == list(range(len(text)))
        assert all(len(line) * 5 < page.width for line in page.title["subtitle"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "colour is 'red'; it must be one of gap, surprisal, entropy"),
        ({"theme": "blue"}, "theme is 'blue'; it must be one of light, dark"),
        ({"width": 100}, "width is 100 pixels; it must be at least 320"),
        ({"scale": "log"}, "scale is 'log'"),
        ({"layer": 9}, "there is no layer 9"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message: str):
    with pytest.raises(ConfigError, match=message):
        spacing(make_trace("ab", [1, 2]), **options)


def test_spaces_that_tokens_begin_with_are_drawn_so_that_words_keep_their_font():
    pieces = ["Two", " cats", " 👩\u200d🔬", "   ", "居", " "]
    ends = np.cumsum([len(piece.encode()) for piece in pieces]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    picture = spacing(make_trace("".join(pieces), [1, 1, 2, 1, 1, 0.5], token_bytes=spans))
    root = ElementTree.fromstring(picture.render("svg"))
    texts = [node.text or "" for node in root.iter(f"{SVG}text")]
    assert [texts.count(label) for label in ("Two", "cats", "👩\u200d🔬", "居")] == [2, 2, 2, 2]
    assert "␣" not in "".join(texts) + picture.drawn_text
    assert len(space_signs(root)) == 2 * 6
    assert len(list(root.iter(f"{SVG}linearGradient"))) == 1  # the legend's, which outlined marks would turn into dots


def test_a_space_stands_left_of_its_word_and_both_in_the_words_place():
    picture = spacing(make_trace("a cats", [1, 3], token_bytes=[(0, 1), (1, 6)]))
    root = ElementTree.fromstring(picture.render("svg"))
    (steps,), cells = drawn(picture)["steps"], drawn(picture)["cells"]
    words = [node for node in root.iter(f"{SVG}text") if node.text == "cats"]
    space = FONT_SIZE * width_in_ems("␣")
    for row, (word, sign) in enumerate(zip(words, space_signs(root), strict=True)):
        place, width = steps["glyph"][2 * row + 1], cells[1]["width"]
        assert steps["size"][2 * row + 1] == FONT_SIZE
        assert horizontal(word) == pytest.approx(place + space / 2, abs=0.1)
        assert horizontal(sign) == pytest.approx(place - width / 2 + space / 2, abs=0.1)


def space_signs(root: ElementTree.Element) -> list[ElementTree.Element]:
    """Areas of eight corners."""
    return [path for path in root.iter(f"{SVG}path") if re.fullmatch(r"M[^LZ]+(L[^LZ]+){7}Z", path.get("d", ""))]


def horizontal(node: ElementTree.Element) -> float:
    """Where a mark stands, from its `transform="translate(x,y)"`."""
    return float(node.get("transform").removeprefix("translate(").split(",")[0])
