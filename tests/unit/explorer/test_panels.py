from howfar.charts.rows import Cells
from howfar.explorer.panels import with_ticks
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
