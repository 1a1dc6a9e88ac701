from howfar.charts.rows import Cells
from howfar.explorer.panels import Document, selection_line, with_ticks
from howfar.explorer.what_if import Edit

TEXT = "Ada “图书馆”."


def test_a_character_stands_once_below_its_bytes(inference):
    cells = Cells.of(inference.trace("tiny", TEXT))
    losses = with_ticks(inference.what_if("tiny", TEXT, Edit((2, 3), 2.0)).losses(cells), cells)
    byte_counts = [len(character.encode()) for character in TEXT[3:]]
    expected = [
        part for tick, count in zip("␣“图书馆”.", byte_counts, strict=True) for part in [tick, *[""] * (count - 1)]
    ]
    assert losses["tick"].to_list() == expected


def test_a_long_character_is_cut_visibly(inference):
    family = "👨\u200d👩\u200d👧\u200d👦"
    document = Document("tiny", inference.trace("tiny", family + "é"), "tiny")
    told = selection_line([document], 0).text
    assert "U+1F468 U+200D U+1F469 U+200D … · bytes F0 9F 91 A8 E2 80 8D F0 9F 91 A9 E2 80 8D F0 9F … ·" in told
    assert "U+00E9 · bytes C3 A9 ·" in selection_line([document], 1).text
