"""CoNLL-U: what is read of it, and what is refused by line."""

from pathlib import Path

import pytest

from howfar.errors import CorpusError
from howfar.text.segmentation import read_conllu

LINES = """# newdoc id = one
# text = Al doesn't see
1\tAl\tAl\tPROPN\t_\tNumber=Sing\t3\tnsubj\t3:nsubj|3.1:nsubj\tNER=B-PER
2-3\tdoesn't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdoes\tdo\tAUX\t_\tMood=Ind|Tense=Pres\t4\taux\t_\t_
3\tn't\tnot\tPART\t_\t_\t4\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t0:root\t_
4\tsee\tsee\tVERB\t_\tVerbForm=Inf\t0\troot\t_\t_
"""


def read(tmp_path: Path, text: str) -> list:
    path = tmp_path / "a.conllu"
    path.write_text(text, encoding="utf-8")
    return list(read_conllu(path))


def test_words_ranges_empty_nodes_and_enhanced_dependencies(tmp_path: Path) -> None:
    first, second = read(tmp_path, LINES + "\n" + LINES.replace("# newdoc id = one\n", ""))
    assert [token.form for token in first.tokens] == ["Al", "doesn't", "see"] == first.units
    assert [[word.number for word in token.words] for token in first.tokens] == [[1], [2, 3], [4]]
    (name,), (does, _), (see,) = (token.words for token in first.tokens)
    assert (name.part_of_speech, name.head, name.notes) == ("PROPN", 3, {"NER": "B-PER"})
    assert does.features == {"Mood": "Ind", "Tense": "Pres"}
    assert see.head == 0
    assert (first.begins_document, second.begins_document) == (True, False)


def test_documents_begin_at_their_comments_and_until_one_comes_at_each_sentence(tmp_path: Path) -> None:
    marked, unmarked = LINES, LINES.replace("# newdoc id = one\n", "")
    found = read(tmp_path, "\n".join([unmarked, unmarked, marked, unmarked, marked]))
    assert [sentence.begins_document for sentence in found] == [True, True, True, False, True]
    assert [sentence.begins_document for sentence in read(tmp_path, f"{unmarked}\n{unmarked}")] == [True, True]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("4\tsee\tsee", "5\tsee\tsee", r"line 8 of .* has the ID 5 where 4 is due; number all words"),
        ("2-3\t", "2-2\t", r"line 4 of .* has the range 2-2; give ranges that ascend and do not overlap"),
        ("2-3\t", "2-9\t", r"from line 1 of .* ends before word 9 of a range; complete it"),
        ("3.1\tgo", "2.1\tgo", r"line 7 of .* has the ID 2.1 where 3 is due"),
        ("\t3\tnsubj", "\tx\tnsubj", r"line 3 of .* has the head 'x'; give the number of a word, 0, or _"),
        (
            "\t3\tnsubj",
            "\t9\tnsubj",
            r"word 1 of the sentence from line 1 .* the head 9; give another word of its 4",
        ),
        ("\t3\tnsubj", "\t1\tnsubj", r"word 1 .* has the head 1; give another word"),
        ("Number=Sing", "Sing", r"line 3 of .* has the features 'Sing'; write Name=Value"),
        ("VerbForm=Inf\t0", "VerbForm=Inf 0", r"line 8 of .* is not CoNLL-U; write ten columns"),
        ("2-3\tdoesn't", "2-3\tisn't", r"line 1 of .*: the segmentation has \"isn't\""),
    ],
)
def test_what_does_not_hang_together_is_refused_by_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in LINES
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, LINES.replace(old, new, 1))


def test_old_ends_of_lines(tmp_path: Path) -> None:
    expected = read(tmp_path, LINES)
    for end in ("\r\n", "\r"):
        (tmp_path / "b.conllu").write_bytes(LINES.replace("\n", end).encode())
        assert list(read_conllu(tmp_path / "b.conllu")) == expected
