import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from howfar.charts.spacing import spacing
from howfar.charts.spacing.geometry import CONTRAST_SPREAD
from howfar.charts.spacing.palette import variables
from howfar.charts.spacing.svg import Drawing, View
from howfar.errors import ConfigError, NotMeasurableError
from howfar.positions import IncrementConfig
from support.traces import make_trace

SVG = "{http://www.w3.org/2000/svg}"
GOLDEN = Path(__file__).parents[2] / "golden" / "spacing.svg"
RANDOM = np.random.default_rng(0)


def texts(picture, kind: str) -> list[str]:
    """What stands in the picture's texts of a class."""
    root = ElementTree.fromstring(picture.svg)
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text") if node.get("class") == kind]


def lines(picture) -> dict[str, str]:
    return {line.name: line.note for line in picture.drawing.lines}


def test_the_picture_names_its_model_and_its_rows():
    picture = spacing(make_trace("ab", [[1, 2], [3, 4]], model_name="path/to/some-model"))
    assert texts(picture, "title") == ["How some-model spaces this text"]
    assert texts(picture, "name") == ["plain", "layer 0", "layer 1"]
    assert texts(picture, "note")[-2:] == ["mean 1.50 ±33%", "mean 3.50 ±14%"]
    assert "path/to" not in picture.svg


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("raw", [[1, 1], [1, 2], [6, 3]]),
        ("layer-mean", [[1, 1], [2 / 3, 4 / 3], [4 / 3, 2 / 3]]),
        ("shared", [[1, 1], [1 / 3, 2 / 3], [2, 1]]),
        ("contrast", [[1, 1], [1 - CONTRAST_SPREAD, 1 + CONTRAST_SPREAD], [1 + CONTRAST_SPREAD, 1 - CONTRAST_SPREAD]]),
    ],
)
def test_each_scale_draws_what_it_says(scale, expected):
    drawing = spacing(make_trace("ab", [[1, 2], [6, 3]]), scale=scale).drawing
    np.testing.assert_allclose([line.drawn for line in drawing.lines], expected, rtol=1e-4)


def test_the_average_of_all_layers_is_that_of_layers_that_are_not_shown_too():
    trace = make_trace("ab", [[1, 2], [6, 3]])
    np.testing.assert_allclose(spacing(trace, layer=1, scale="shared").drawing.lines[1].drawn, [2, 1])
    per_head = make_trace("ab", [[[1, 1], [3, 3]], [[4, 4], [8, 8]]], config=IncrementConfig(per_head=True))
    assert spacing(per_head, layer=0, scale="shared").content.shared_mean == 4
    assert spacing(per_head, layer=0, head=1, scale="shared").content.shared_mean == 5.5


def test_tiles_are_as_wide_as_steps_and_end_at_positions():
    trace = make_trace("a居bc", [2, 1, 0.5, 0.25, 1, 3])
    layout = spacing(trace, scale="raw").drawing.layout
    np.testing.assert_allclose((layout.end - layout.before)[1] / layout.scale, [2, 1.75, 1, 3])
    np.testing.assert_allclose((layout.end[1] - layout.before[1, 0]) / layout.scale, [2, 3.75, 4.75, 7.75])
    np.testing.assert_allclose((layout.end - layout.before)[0] / layout.scale, [1, 3, 1, 1])


def test_the_numbers_in_a_page_are_the_traces():
    trace = make_trace("a居", [2, 1, 0.5, 0.25])
    content = spacing(trace).content.json()
    text, row = content["texts"][0], content["rows"][1]
    assert (text["labels"], text["tokens"]) == (["a", "居"], [1, 3])
    assert (row["gaps"], row["mean"], row["parts"]) == ([2, 1.75], 0.9375, {1: [1, 0.5, 0.25]})
    assert text["surprisal"][1] == pytest.approx(trace.surprisal_nats[1:].sum(), rel=1e-4)
    assert text["entropy"][1] == pytest.approx(trace.entropy_nats[3], rel=1e-4)


def test_the_same_trace_gives_the_same_picture_as_ever():
    """Write the file anew if the picture is meant to change, and look at it: `Path(GOLDEN).write_text(picture.svg)`."""
    increments = np.array([[0.5, 0.5, 4, 1, 1, 1, 0], [1, 1, 1, 1, 2, 0.25, 3]])
    picture = spacing(make_trace("Hi 居!", increments, config=IncrementConfig()), width=640)
    assert picture.svg == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("colour", "said"),
    [
        ("gap", "step, over the average of its row"),
        ("rank", "rank of the step in its row"),
        ("surprisal", "surprisal of the character"),
        ("entropy", "entropy of what follows"),
        ("kind", "step, against others of its kind"),
    ],
)
def test_the_legend_says_what_colours_mean(colour, said):
    assert said in texts(spacing(make_trace("abc", [1, 2, 3]), colour=colour), "note")


def test_colours_tell_short_steps_from_long_ones_and_plain_ones_are_neutral():
    shades = spacing(make_trace("abcd", [0.25, 1, 1, 4]), scale="raw").drawing.shades
    assert shades.of.tolist() == [[4, 4, 4, 4], [0, 4, 4, 8]]
    ranks = spacing(make_trace("abc", [1.001, 1, 1.002]), colour="rank").drawing.shades
    assert np.argsort(ranks.of[1]).tolist() == [1, 0, 2]


def test_a_model_that_has_changed_since_keeps_means_of_its_own():
    changed = make_trace("ab", [1, 1], config=IncrementConfig())
    for text, before in (("ab", [3, 3]), ("abc", [3, 3, 3])):
        content = spacing(make_trace(text, before), beside=changed, rows="all").content
        assert [row.mean for row in content.rows[1:]] == [3, 1]
        assert "means over both" not in content.title
    of_one_model = spacing(make_trace("ab", [3, 3]), beside=make_trace("ab", [1, 1])).content
    assert [row.mean for row in of_one_model.rows[1:]] == [3, 1]


def test_a_step_is_compared_with_those_of_its_kind():
    text, steps = "a b c d", [1, 5, 1, 5, 1, 5, 2]
    assert spacing(make_trace(text, steps), colour="kind").drawing.shades.of[1].tolist()[:6] == [2, 4, 2, 4, 2, 4]


def test_heads_are_named():
    trace = make_trace("ab", np.ones((2, 3, 2)), config=IncrementConfig(per_head=True))
    assert "mean over heads" in spacing(trace).content.title
    assert spacing(trace, layer=1, head=2).content.title.endswith("this text, layer 1, head 2")
    assert list(lines(spacing(trace, layer=1, rows="all"))) == ["plain", "head 0", "head 1", "head 2"]


@pytest.mark.parametrize("text", ["我们去北京大", "abcdef", "ابجدهو"])
def test_letters_of_the_key_do_not_overlap_where_steps_are_short(text):
    content = spacing(
        make_trace(text, np.repeat([0.1, 0.1, 3, 0.1, 0.1, 0.1], len(text.encode()) // len(text)))
    ).content
    drawing = Drawing(content, View(), 380.0)
    sample = ElementTree.fromstring(drawing.header()).find("text[@class='letters']")
    places = [float(x) for piece in sample for x in piece.get("x").split()]
    assert len(places) >= 3
    assert np.abs(np.diff(places)).min() >= min(drawing.letter_widths[1]) - 0.11  # rounded


def test_nearly_even_rows_are_folded_and_opened():
    uneven, even = [1, 4, 1, 1], [1, 1.01, 1, 1]
    trace = make_trace("abcd", [uneven, even, even, uneven, even])
    assert list(lines(spacing(trace))) == ["plain", "layer 0", "layers 1–2", "layer 3", "layer 4"]
    assert lines(spacing(trace))["layers 1–2"] == "even to ±0.43%"
    assert len(lines(spacing(trace, rows="all"))) == 6
    assert len(lines(spacing(trace, colour="rank"))) == len(lines(spacing(trace, scale="contrast"))) == 6
    assert len(lines(spacing(make_trace("abcd", [even, even])))) == 3  # the less even one is never folded


def test_contrast_prints_its_factor():
    trace = make_trace("abcd", [0.99, 1.01, 0.99, 1.01])
    assert lines(spacing(trace, scale="contrast"))["layer 0"] == "×33 ±1%"


def test_captions_say_what_the_numbers_say_and_no_more():
    found = spacing(make_trace("a b c d e f", [1, 3] * 5 + [1])).content.captions
    assert found == [
        "In layer 0, a step to a space (there are 5) is 1.6 times the average, to anything else 0.52 times."
    ]
    assert spacing(make_trace("abc", [1, 1, 1])).content.captions == ["Every step is 1: these are plain positions."]
    assert spacing(make_trace("a", [[1.08], [1.99]])).content.captions == ["Every row's steps are equal."]
    assert spacing(make_trace("aa", [1.5, 1.5])).content.captions == ["All steps are equal."]
    noise = RANDOM.uniform(0.9, 1.1, (1, 40))
    (said,) = spacing(make_trace("ab c" * 10, noise)).content.captions
    assert re.fullmatch(r"Steps vary by ±\d(\.\d)?%; the longest is to a (space|lowercase letter)\.", said)
    several = spacing(make_trace("ab c" * 10, [*noise, [1, 2, *[1] * 38]])).content.captions
    assert several == ["Steps of layer 1 vary most, by ±15%; the longest is to a lowercase letter."]


def spaced(text: str, steps: list[float], letter: float = 1.0) -> list[float]:
    """Steps of a text: these at its spaces, in their order, and one at everything else."""
    at_spaces = iter(steps)
    return [next(at_spaces) if character == " " else letter for character in text]


@pytest.mark.parametrize(
    ("text", "steps", "words"),
    [
        ("go to the World Wide Web now or so", [3, 3, 0.2, 0.2, 0.2, 3, 3, 3], "the World Wide Web"),
        ("go to the (World Wide Web now or so", [3, 3, 0.2, 0.2, 0.2, 3, 3, 3], "World Wide Web"),
        ("a b c d and 3 x's e f g h", [0.2, 0.3, 3, 3, 0.1, 0.1, 3, 3, 3, 3], "and 3 x's"),
    ],
)
def test_a_caption_names_the_words_that_a_row_draws_together(text: str, steps: list[float], words: str) -> None:
    found = spacing(make_trace(text, spaced(text, steps))).content.captions
    assert re.fullmatch(
        rf"In layer 0, each space inside “{words}” takes 0\.\d+ of an average step\.",
        found[0],
    )
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("go to the World Wide now or so", [3, 3, 3, 0.2, 3, 3, 3]),  # one space
        ("go to the World, Wide, Web now or so", [3, 3, 3, 0.2, 0.2, 3, 3, 3]),  # parted by commas
        ("go to the World Wide Web", [3, 3, 0.2, 0.2, 0.2]),  # too few others
        ("go to the World Wide Web now or so", [0.9, 0.9, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9]),  # others short too
    ],
)
def test_no_words_are_named_where_the_spaces_do_not_stand_out(text: str, steps: list[float]) -> None:
    assert not any("inside" in said for said in spacing(make_trace(text, spaced(text, steps))).content.captions)


def test_of_several_rows_the_one_that_draws_most_words_together_is_named() -> None:
    text = "go to the World Wide Web now or so"
    rows = [spaced(text, [3, 3, 3, 0.2, 0.2, 3, 3, 3]), spaced(text, [3, 3, 0.2, 0.2, 0.2, 3, 3, 3])]
    assert spacing(make_trace(text, *[rows])).content.captions[0].startswith("In layer 1, each space inside “the World")


def test_layers_that_share_their_steps_are_named_together():
    trace = make_trace("a b c d e f", [1, 3] * 5 + [1], config=IncrementConfig(scope="shared"))
    assert spacing(trace).content.captions[0].startswith("In all layers, a step to a space")


def test_one_nearly_even_row_is_folded_too():
    found = lines(spacing(make_trace("abcd", [[1, 2, 3, 1], [1, 1.01, 1, 1], [1, 3, 1, 2]])))
    assert found["layer 1"] == "even to ±0.43%"


@pytest.mark.parametrize(
    ("scale", "unit"),
    [("raw", "a plain one"), ("shared", "the average of all layers"), ("contrast", "an average one, as drawn")],
)
def test_the_legend_names_the_scales_unit(scale, unit):
    assert f"step, over {unit}" in texts(spacing(make_trace("abc", [1, 2, 3]), scale=scale), "note")


def test_the_description_says_what_is_to_be_seen():
    description = spacing(make_trace("abc", [1, 4, 0.5])).description
    assert "layer 0, mean 1.83 ±84%: steps from 0.27 of the average (to c) to 2.18 (to b)." in description


def test_the_key_explains_the_longest_step_of_this_text():
    picture = spacing(make_trace("ab cd", [1, 1, 4, 1, 1], model_name="m"))
    assert texts(picture, "note")[0] == "layer 0: 2.5 average steps to the space"
    many = spacing(make_trace("a居b", [1, 2, 2, 2, 1]))
    assert texts(many, "note")[0] == "layer 0: 3.8 average steps to this character (3 bytes: 3 in the plain row)"
    phone = spacing(make_trace("a居b", [1, 2, 2, 2, 1]), width=390)  # where a longer line would run off the side
    assert texts(phone, "note")[0] == "layer 0: 3.8 average steps to this character (3 bytes)"


def test_where_characters_have_several_bytes_the_numbers_are_said_to_be_per_byte():
    said = texts(spacing(make_trace("a居b", [1, 2, 2, 2, 1])), "note")
    assert said[2] == (
        "Beside each row, per byte: mean step in positions; ± standard deviation and histogram over characters."
    )
    assert "every byte 1" in said
    said = texts(spacing(make_trace("abc", [1, 2, 3])), "note")
    assert "every step 1" in said
    assert not any("byte" in note for note in said)


@pytest.mark.parametrize(("width", "is_below"), [(390, True), (1000, False)])  # on a phone, the name is above
def test_the_length_of_a_cut_step_does_not_meet_its_rows_name(width: int, is_below: bool):
    picture = spacing(make_trace("ab" * 30, [*[1] * 20, 60, *[1] * 39]), width=width)
    rows = [row for row in ElementTree.fromstring(picture.svg).iter(f"{SVG}g") if row.get("class") == "row layer"]
    places = [{node.get("class"): float(node.get("y", 0)) for node in row.iter(f"{SVG}text")} for row in rows]
    [cut] = [place for place in places if "broken" in place]
    assert (cut["broken"] > cut["letters"]) == is_below
    assert (cut["broken"] - cut["name"] > 24) or not is_below


def test_one_step_is_singular_in_the_key():
    assert texts(spacing(make_trace("a", [1.08])), "note")[0].endswith(": 1 average step to this character")


def test_a_spread_of_rounding_is_not_described():
    trace = make_trace("ä", [[1.123456, 1.2], [1.000003, 1.000002]])
    assert spacing(trace).content.captions == ["Every row's steps are equal, to a hundredth of a percent."]


def test_a_models_name_keeps_its_spaces():
    assert spacing(make_trace("ab", [1, 2], model_name="runs/seed 0")).content.title == "How seed 0 spaces this text"


def test_the_key_explains_a_step_that_leaves_room_for_its_words() -> None:
    trace = make_trace("abcdefghijklmnop", [1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 12, 1, 1, 1])
    said = texts(spacing(trace), "note")[0]
    assert said == f"layer 0: {3 / (29 / 16):.1f} average steps to this character"
    only = make_trace("abcd", [1, 1, 12, 1])  # every sample holds the wide tile: then the longest step, as ever
    assert texts(spacing(only), "note")[0].startswith("layer 0: 3.2 average steps")


def test_a_text_read_from_right_to_left_is_drawn_so():
    layout = spacing(make_trace("שלום", np.ones(8))).drawing.layout
    assert layout.end[0, 0] > layout.end[0, 3]


def test_subword_models_speak_of_tokens():
    picture = spacing(make_trace("ab cd", [1, 2], token_bytes=[(0, 2), (2, 5)]))
    assert "A token's tile is as wide as the step to it from the one before." in texts(picture, "note")
    assert texts(picture, "letters")[-1] == "ab cd"
    assert "byte" not in picture.svg


@pytest.mark.parametrize("width", [390, 700, 1100])
def test_each_row_holds_the_text_once_so_that_it_can_be_found(width):
    text = "some words & <tags> " * 20
    picture = spacing(make_trace(text, RANDOM.uniform(0.5, 2, (2, len(text)))), width=width)
    root = ElementTree.fromstring(picture.svg)
    rows = [group for group in root.iter(f"{SVG}g") if "row" in (group.get("class") or "")]
    found = [
        "".join("".join(node.itertext()) for node in row.iter(f"{SVG}text") if node.get("class") == "letters")
        for row in rows
    ]
    assert ["".join(found[start::3]) for start in range(3)] == [text] * 3


def test_a_files_last_line_end_is_not_drawn():
    assert spacing(make_trace("ab\n", [1, 1, 1])).content.texts[0].labels == ["a", "b"]
    assert spacing(make_trace("ab\r\n", [1, 1, 1, 1])).content.texts[0].labels == ["a", "b"]
    assert spacing(make_trace("a\nb", [1, 1, 1])).content.texts[0].labels == ["a", "⏎", "b"]
    assert spacing(make_trace("\n", [1])).content.texts[0].labels == ["⏎"]


def test_a_long_text_begins_with_all_of_it_in_strips():
    short, long = (spacing(make_trace("word " * n, np.ones(5 * n))) for n in (10, 400))
    assert 'class="overview"' not in short.svg
    assert long.svg.count('class="overview"') == 1


def test_two_models_are_aligned_and_compared():
    one, other = make_trace("ab", [1, 3], model_name="one"), make_trace("ab", [2, 2], model_name="other")
    picture = spacing(one, beside=other)
    assert picture.content.title == "How one (A) and other (B) space this text"
    assert list(lines(picture)) == ["plain", "A layer 0", "B layer 0"]
    assert picture.content.rows[1].difference.tolist() == [-0.5, 0.5]
    assert picture.drawing.shades.of.tolist() == [[4, 4], [0, 8], [8, 0]]


def test_rows_without_a_counterpart_are_not_said_to_be_equal():
    shared = IncrementConfig(scope="shared")
    one, other = make_trace("ab", [[1, 3], [3, 1]]), make_trace("ab", [[2, 2]] * 2, model_name="other", config=shared)
    picture = spacing(one, beside=other)
    assert picture.view.colour == "gap"
    said = "3 of 3 rows have no counterpart in the other model, and so no difference from it."
    assert picture.content.captions[-1] == said
    with pytest.raises(ConfigError, match="no row of one model has a counterpart in the other; show one layer"):
        spacing(one, beside=other, colour="difference")
    assert spacing(one, beside=other, layer=1, colour="difference").content.rows[1].difference.tolist() == [0.5, -0.5]
    deeper = spacing(one, beside=make_trace("ab", [1, 3], model_name="shallow"))
    assert deeper.view.colour == "difference"
    assert deeper.content.captions[-1].startswith("1 of 3 rows has no counterpart")


def unlike(text, token_bytes, *, words_first=False):
    """A text read by a model of bytes, whose steps are 1, 2, 3 and so on, and by one of words."""
    steps = np.arange(1, len(text) + 1)
    words = make_trace(text, np.ones(len(token_bytes)), token_bytes=token_bytes, model_name="words")
    bytes_ = make_trace(text, steps, model_name="bytes")
    return (words, bytes_) if words_first else (bytes_, words)


@pytest.mark.parametrize("words_first", [False, True])
def test_a_token_stands_at_its_last_character_and_is_compared_with_all_of_them(words_first):
    one, other = unlike("the cat", [(0, 3), (3, 4), (4, 7)], words_first=words_first)
    content = spacing(one, beside=other).content
    by_noun = {text.noun: text for text in content.texts}
    assert by_noun["character"].labels == [*"the cat"]
    assert by_noun["token"].labels == ["", "", "the", " ", "", "", "cat"]
    assert (content.noun, content.unit, content.is_one_text) == ("piece", "token", True)
    rows = {content.texts[row.text].noun: row.difference for row in content.rows if not row.is_plain}
    np.testing.assert_allclose(rows["character"], [-0.5, -0.5, -0.5, 0, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(rows["token"], [np.nan, np.nan, 0.5, 0, np.nan, np.nan, -0.5])


def test_the_key_calls_neither_a_word_a_character_nor_a_letter_a_token():
    pair = unlike("the cat sat", [(0, 3), (3, 7), (7, 11)])
    notes = texts(spacing(pair[1], beside=pair[0], colour="gap"), "note") + texts(
        spacing(pair[0], beside=pair[1]), "note"
    )
    said = texts(spacing(pair[1], beside=pair[0], colour="surprisal"), "note")
    assert "A piece's tile is as wide as the step to it from the one before." in notes
    assert "surprisal of the piece" in said
    assert spacing(pair[1], beside=pair[0]).description.startswith(
        "How words (A) and bytes (B) space this text: 3 tokens, “the cat sat”"
    )


def test_words_have_room_beside_letters():
    text = "every letter of a whole sentence " * 3
    ends = [place for place, letter in enumerate(text) if letter == " "]
    spans = list(pairwise([0, *ends, len(text)]))
    letters = make_trace(text, np.ones(len(text)), model_name="bytes")
    words = make_trace(text, np.ones(len(spans)), token_bytes=spans, model_name="words")
    together = spacing(letters, beside=words, colour="gap", rows="all").drawing.layout
    assert together.scale > 1.5 * spacing(letters, rows="all").drawing.layout.scale


def test_a_last_line_end_is_drawn_if_it_is_part_of_a_token():
    one, other = unlike("ab.\n", [(0, 2), (2, 4)])
    assert spacing(one, beside=other).content.texts[0].labels == [*"ab.", "⏎"]
    one, other = unlike("ab.\n", [(0, 3), (3, 4)])
    assert spacing(one, beside=other).content.texts[0].labels == [*"ab."]


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("a/final", "b/final"), "How a/final (A) and b/final (B) space this text"),
        (("/runs/a/final", "/runs/b/final"), "How a/final (A) and b/final (B) space this text"),
        (("a/one", "b/other"), "How one (A) and other (B) space this text"),
        (("a/final", "a/final"), "How final spaces this text"),
    ],
)
def test_models_whose_folders_have_one_name_are_told_apart(names, title):
    one, other = (make_trace("ab", [1, 2], model_name=name) for name in names)
    assert spacing(one, beside=other).content.title == title


def test_the_folder_that_a_reader_stands_in_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert spacing(make_trace("ab", [1, 2], model_name=".")).content.title == "How mine spaces this text"


def test_brackets_face_what_they_hold_in_a_text_read_from_right_to_left():
    text = "של (קצר) מה"
    turned = spacing(make_trace(text, np.ones(len(text.encode())))).svg
    for bracket in "()":
        assert turned.count(f"\u2067{bracket}\u2069") >= 2  # an isolate, in which it is mirrored
        assert f">{bracket}" not in turned
    assert "\u2067" not in spacing(make_trace("a (b) c", np.ones(7))).svg
    token = spacing(make_trace(" (של", [1, 2], token_bytes=[(0, 2), (2, 6)], model_name="words")).svg
    assert "\u2067 (\u2069" in token


def test_the_overview_runs_as_the_rows_do():
    def starts(text):
        steps = np.where(np.arange(len(text.encode())) < 40, 3.0, 1.0)
        svg = spacing(make_trace(text, steps), width=700).svg
        overview = svg[svg.index('class="overview"') :]
        return [float(place) for place in re.findall(r"M([\d.]+) ", re.search(r'class="t8"[^/]+', overview)[0])]

    assert max(starts("word " * 400)) < 350
    assert min(starts("שלום " * 400)) > 500


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_can_be_read_on_every_tile(theme):
    colours = variables(theme)
    for name, tile in colours.items():
        if re.fullmatch(r"[ts]\d", name):
            lighter, darker = sorted((luminance(tile), luminance(colours["ink"])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name


def luminance(colour):
    """As WCAG defines it."""
    shares = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_two_texts_are_aligned_where_they_are_alike():
    picture = spacing(make_trace("cat sat", np.ones(7)), beside=make_trace("cat's sat", np.ones(9)), rows="all")
    first, second = (text.labels for text in picture.content.texts)
    assert (first, second) == ([*"cat", "", "", *" sat"], [*"cat's sat"])
    assert list(lines(picture)) == ["plain", "A layer 0", "B layer 0"]
    assert np.isnan(picture.content.rows[1].difference[3:5]).all()


def test_equal_steps_of_two_texts_look_equal_though_one_text_ends_with_a_long_step():
    picture = spacing(make_trace("ab", [1, 2]), beside=make_trace("abc", [1, 2, 10]), rows="all")
    first, second = picture.content.rows[1:]
    assert first.mean == second.mean == pytest.approx(16 / 5)
    assert first.difference[:2].tolist() == second.difference[:2].tolist() == [0, 0]
    layout = picture.drawing.layout
    np.testing.assert_allclose(layout.end[1, :2] - layout.before[1, :2], layout.end[2, :2] - layout.before[2, :2])
    other = spacing(
        make_trace("ab", [1, 2], model_name="one"), beside=make_trace("abc", [1, 2, 10], model_name="other")
    )
    assert [row.mean for row in other.content.rows[1:]] == [1.5, pytest.approx(13 / 3, abs=1e-4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "colour is 'red'; it must be one of gap, rank, surprisal, entropy, kind, difference"),
        ({"colour": "difference"}, "colour is 'difference', which needs a second trace"),
        ({"color": "red"}, "colour is 'red'; it must be one of gap"),
        ({"color": "rank", "colour": "kind"}, "colour is 'kind' and color is 'rank', which mean the same; give one"),
        ({"theme": "blue"}, "theme is 'blue'; it must be one of light, dark"),
        ({"rows": "some"}, "rows is 'some'; it must be one of auto, all"),
        ({"width": 100}, "width is 100 pixels; it must be at least 320"),
        ({"scale": "log"}, "scale is 'log'"),
        ({"layer": 9}, "there is no layer 9"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message: str):
    with pytest.raises(ConfigError, match=message):
        spacing(make_trace("ab", [1, 2]), **options)


def test_one_character_in_one_row_is_in_the_singular():
    picture = spacing(make_trace("a", [1]))
    assert "1 character, “a”, in 1 row below one of plain positions." in picture.description
    assert "1 character, 1 row, scale" in repr(picture)


def test_colours_may_be_spelled_colors():
    trace = make_trace("ab", [1, 2])
    assert spacing(trace, color="rank").svg == spacing(trace, colour="rank").svg != spacing(trace).svg


def test_a_row_that_moves_back_on_average_is_shown_raw_only():
    trace = make_trace("ab", [-2, 1], config=IncrementConfig(bound="signed"))
    for scale in ("layer-mean", "contrast"):
        with pytest.raises(NotMeasurableError, match="the mean increment of layer 0"):
            spacing(trace, scale=scale)
    assert spacing(trace, scale="raw").svg


def test_what_is_no_trace_is_refused() -> None:
    for given in ({"trace": "ab"}, {"trace": make_trace("ab", [1, 2]), "beside": "ab"}):
        with pytest.raises(ConfigError, match=r"a trace is needed, but this is a str; make one with howfar.trace"):
            spacing(**given)
