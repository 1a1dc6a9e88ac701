import sys
from pathlib import Path

import pytest

from howfar.errors import CorpusError, MissingExtraError
from howfar.measures.files import read_gold
from howfar.text.segmentation import (
    Segmentation,
    jieba_segment,
    read_conllu,
    read_spaced,
    sentence_segmentation,
    word_segmentation,
)


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def conllu(*sentences: str) -> str:
    """Fill `ID FORM [MISC]` lines up to ten columns."""
    blocks = []
    for sentence in sentences:
        lines = []
        for line in sentence.strip().splitlines():
            if not line.startswith("#"):
                number, form, misc = (*line.split(" "), "_")[:3]
                line = "\t".join([number, form, *["_"] * 7, misc])
            lines.append(line)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n\n"


def test_spaced_words_are_joined(tmp_path: Path):
    gold = list(read_spaced(put(tmp_path / "gold.txt", "\ufeff我们 看 书 。\r\n\n他 来\n")))
    assert gold == [Segmentation("我们看书。", (2, 3, 4)), Segmentation("他来", (1,))]
    assert gold[0].units == ["我们", "看", "书", "。"]


def test_words_are_laid_along_their_text(tmp_path: Path):
    gold = list(read_conllu(put(tmp_path / "a.conllu", conllu("# text = I like书。\n1 I\n2 like\n3 书\n4 。"))))
    assert gold == [Segmentation("I like书。", (2, 6, 7))]
    assert gold[0].units == ["I", "like", "书", "。"]


def test_words_of_another_text_are_refused_by_line(tmp_path: Path):
    gold = conllu("# text = 我们看\n1 我们\n2 看", "# text = 他走了\n1 他\n2 来\n3 了")
    with pytest.raises(
        CorpusError, match=r"line 5 of .*gold\.conllu: the segmentation has '来' where the text has '走了'"
    ):
        list(read_conllu(put(tmp_path / "gold.conllu", gold)))
    longer = conllu("# text = 我们看书\n1 我们\n2 看")
    with pytest.raises(CorpusError, match=r"line 1 of .*: the segmentation has the end where the text has '书'"):
        list(read_conllu(put(tmp_path / "gold.conllu", longer)))


def test_conllu_with_text_ranges_and_empty_nodes(tmp_path: Path):
    sentence = """
# sent_id = 1
# text = He doesn't  see = 5.
1 He
2-3 doesn't
2 does
3 n't
3.1 really
4 see
5 =
6 5 SpaceAfter=No
7 .
"""
    gold = list(read_conllu(put(tmp_path / "a.conllu", conllu(sentence))))
    assert gold[0].text == "He doesn't  see = 5."
    assert gold[0].units == ["He", "doesn't", "see", "=", "5", "."]


def test_conllu_without_text_is_put_together(tmp_path: Path):
    sentences = ("1 看 SpaceAfter=No\n2 书 Gloss=book|SpaceAfter=No", "1 two\n2 words")
    gold = list(read_conllu(put(tmp_path / "a.conllu", conllu(*sentences))))
    assert gold == [Segmentation("看书", (1,)), Segmentation("two words", (4,))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            conllu("1 a", "# text = 看书\n1 看\n2 报"),
            r"line 3 of .*: the segmentation has '报' where .* '书'",
        ),
        ("1\ta\n", r"line 1 of .* is not CoNLL-U; write ten columns between tabs, an ID and a form first"),
        ("".join(f"{n}\t{form}" + "\t_" * 8 + "\n" for n, form in ((1, "a"), (2, ""))), "line 2 of .* is not CoNLL-U"),
        (conllu("# c\nx a"), "line 2 of .* is not CoNLL-U"),
        ("# only a comment\n", "has no sentence in CoNLL-U"),
        ("", "has no sentence in CoNLL-U"),
    ],
)
def test_bad_conllu_is_refused_by_line(tmp_path: Path, content, message):
    with pytest.raises(CorpusError, match=message):
        list(read_conllu(put(tmp_path / "a.conllu", content)))


@pytest.mark.parametrize("read", [read_spaced, read_conllu])
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, read):
    with pytest.raises(CorpusError, match=r"none cannot be read \(No such file"):
        list(read(tmp_path / "none"))
    (tmp_path / "bad").write_bytes(b"a\nb\xff")
    with pytest.raises(CorpusError, match=r"bad is not UTF-8 \(byte .* in line 2\); .*iconv -f"):
        list(read(tmp_path / "bad"))


def test_a_segmentation_without_sentences_is_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="has no sentence; give one sentence a line"):
        list(read_spaced(put(tmp_path / "empty.txt", " \n\n")))


def test_jieba_keeps_the_text():
    pytest.importorskip("jieba")
    text = "我们在北京大学 看书。Hello world"
    segmentation = jieba_segment(text)
    assert segmentation.text == text
    assert segmentation.units == ["我们", "在", "北京大学", "看书", "。", "Hello", "world"]


def test_missing_jieba_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '.\[chinese\]'"):
        jieba_segment("我")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's a well-known cafe\u0301.", ["It's", "a", "well-known", "cafe\u0301", "."]),
        ("  'quoted'—x_1, 3 times...", ["'", "quoted", "'—", "x_1", ",", "3", "times", "..."]),
        ("a - b -c", ["a", "-", "b", "-", "c"]),
        ("naïve Straße", ["naïve", "Straße"]),
    ],
)
def test_words(text, words):
    segmentation = word_segmentation(text)
    assert [unit.strip() for unit in segmentation.units] == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "Hi." Then (once.) Left.', ['He said "Hi."', "Then (once.)", "Left."]),
        ("Dr. Who met J. R. Smith, e.g. Today.", ["Dr. Who met J. R. Smith, e.g. Today."]),
        ("So did I. Then we left.", ["So did I.", "Then we left."]),
        ("Wait... what? no.", ["Wait... what? no."]),
        ("It is 3.14 or U.S. Law", ["It is 3.14 or U.S. Law"]),
        ("他来了。“好！”她说。End. x", ["他来了。", "“好！”", "她说。", "End. x"]),
        ("Title\n\nbody goes on\nhere. ", ["Title", "body goes on", "here."]),
        ("end.\nlower", ["end.", "lower"]),
    ],
)
def test_sentences(text, sentences):
    assert sentence_segmentation(text).units == sentences


@pytest.mark.parametrize("segment", [word_segmentation, sentence_segmentation])
@pytest.mark.parametrize("text", ["", " ", "\n", ".", "。"])
def test_texts_without_boundaries(segment, text):
    assert segment(text).boundaries == ()


@pytest.mark.parametrize("name", ["gold.txt", "gold", "gold.conll"])
def test_conllu_under_another_name_is_not_read_as_words(tmp_path, name):
    rows = "# text = 他来\n1\t他\t他\tPRON\t_\t_\t2\t_\t_\tSpaceAfter=No\n2\t来\t来\tVERB\t_\t_\t0\t_\t_\t_\n"
    with pytest.raises(CorpusError, match=r"line 2 of .* is of CoNLL-U; end the file's name in \.conllu"):
        list(read_spaced(put(tmp_path / name, rows)))
    gold = read_gold([put(tmp_path / "gold.CONLLU", rows)])
    assert [sentence.units for sentence in gold] == [["他", "来"]]
