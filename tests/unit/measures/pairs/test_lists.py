from collections import Counter
from pathlib import Path

import pytest

from howfar.errors import ConfigError
from howfar.measures.pairs.lists import Pair, bundled_pairs, families, read_pairs


@pytest.mark.parametrize(("language", "at_least", "separator"), [("en", 150, " "), ("zh", 100, "")])
def test_bundled_lists(language: str, at_least: int, separator: str) -> None:
    pairs = bundled_pairs(language)
    assert len(pairs) >= at_least
    assert {pair.separator for pair in pairs} == {separator}
    counts = Counter(pair.type for pair in pairs)
    assert set(counts) == {"person", "place", "organisation", "work", "title", "event", "compound term"}
    assert min(counts.values()) >= 10


def test_pairs_that_share_a_part_are_of_one_family() -> None:
    texts = ["World War", "Cold War", "World Bank", "New York", "New Delhi", "Grand Canyon", "Bank Holiday"]
    found = families([Pair(*text.split(), "any") for text in texts]).tolist()
    assert found[0] == found[1] == found[2]  # the last two share nothing but with the first
    assert found[3] == found[4]
    assert len(set(found)) == 4  # "Bank" as a second part is not "Bank" as a first


def test_pairs_whose_controls_begin_with_one_word_are_of_one_family() -> None:
    pairs, controls = (
        [Pair(*text.split(), "any") for text in texts]
        for texts in (["New York", "Grand Canyon", "Red Cross", "New Delhi"], ["Due to", "Near by", "Due in", "Out of"])
    )
    assert len(set(families(pairs).tolist())) == 3
    found = families(pairs, controls).tolist()
    assert found[0] == found[2] == found[3] != found[1]


@pytest.mark.parametrize(("language", "num"), [("en", 159), ("zh", 120)])
def test_families_of_the_bundled_lists(language: str, num: int) -> None:
    assert len(set(families(bundled_pairs(language)).tolist())) == num


def test_text_of_a_pair() -> None:
    assert Pair("New", "York", "place").text == "New York"
    assert Pair("北京", "大学", "organisation").text == "北京大学"


def test_reads_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("type,first,second,note\nplace, Den ,Haag,x\n", encoding="utf-8")
    assert read_pairs(path) == [Pair("Den", "Haag", "place")]


def test_a_cell_may_be_broken_into_lines(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text('first,second,type\r\n"New\r\nYork",City,place\r\n', encoding="utf-8", newline="")
    assert read_pairs(path) == [Pair("New York", "City", "place")]


@pytest.mark.parametrize("text", ["First;Second;TYPE\nDen;Haag;place\n", "\ufefffirst\ttype\tsecond\nDen\tplace\tHaag"])
def test_reads_what_spreadsheets_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    assert read_pairs(path) == [Pair("Den", "Haag", "place")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first,second\na,b\n", "has no column 'type'; its first line must be first,second,type"),
        ("first,second,type\na,,x\n", "line 2: .* is incomplete"),
        ("first,second,type\na\n", "line 2: .* is incomplete"),
        ("first,second,type\na,b,x\na,b,y\n", "has 'a b' more than once"),
        ("first,second,type\n", "has no pairs"),
        ("", "has no column 'first'"),
    ],
)
def test_refuses_bad_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_pairs(path)


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"first,second,type\nSaarbr\xfccken,x,y\n")
    with pytest.raises(ConfigError, match=r"latin\.csv is not UTF-8 .*iconv -f WINDOWS-1252"):
        read_pairs(tmp_path / "latin.csv")
    with pytest.raises(ConfigError, match="no list of pairs for 'de'; choose from en, zh"):
        bundled_pairs("de")
