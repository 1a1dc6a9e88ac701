"""Laws of texts, tokens and corpora."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from howfar.corpus.build import build_corpus
from howfar.corpus.journal import Journal, Outcome, Record
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import LocalFiles, Source
from howfar.reading.windows import cover
from howfar.text.classes import ByteClass, classes_of_bytes
from howfar.text.segmentation import sentence_segmentation, word_segmentation
from howfar.text.spans import character_of_byte
from howfar.text.tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts)
def test_any_text_round_trips_through_the_tokenizer(text):
    token_ids = TOKENIZER(text)["input_ids"]
    assert token_ids == list(text.encode())
    assert TOKENIZER.decode(token_ids) == text


@given(texts)
def test_bytes_and_characters_agree(text):
    assert [text[index].encode() for index in sorted(set(character_of_byte(text)))] == [
        character.encode() for character in text
    ]
    assert np.bincount(character_of_byte(text), minlength=len(text)).tolist() == [len(c.encode()) for c in text]


@given(texts)
def test_valid_text_has_no_malformed_bytes_and_one_lead_a_character(text):
    classes = classes_of_bytes(list(text.encode()))
    assert ByteClass.MALFORMED not in classes
    continuation = np.isin(classes, [ByteClass.CJK_CONTINUATION, ByteClass.OTHER_CONTINUATION])
    assert (~continuation).sum() == len(text)


@given(st.text("aA.。!\"' \n中'1", max_size=30))
def test_segmentations_only_cut(text):
    for segment in (word_segmentation, sentence_segmentation):
        found = segment(text)
        assert found.text == text
        assert list(found.boundaries) == sorted({*found.boundaries})
        assert all(0 < boundary < len(text) and not text[boundary].isspace() for boundary in found.boundaries)


documents_strategy = st.lists(st.text("ab中\n", max_size=12), max_size=12)


def _build(folder: Path, first: list[str], second: list[str], balance: str):
    for name, documents in (("a", first), ("b", second)):
        (folder / name).mkdir(exist_ok=True)
        for index, document in enumerate(documents):
            (folder / name / f"{index:03}").write_text(document, encoding="utf-8")
        (folder / name / "zzz").write_text("last", encoding="utf-8")
    sources = [Source(name, LocalFiles(str(folder / name), whole_files=True)) for name in "ab"]
    options = BuildOptions(held_out_fraction=0.3, balance=balance)
    return build_corpus(folder / "out", sources, options, progress=False)


@settings(max_examples=40, deadline=None)
@given(documents_strategy, documents_strategy, st.sampled_from(["bytes", "documents", "none"]), st.integers(2, 9))
def test_a_corpus_holds_each_text_once_and_windows_score_each_byte_once(first, second, balance, length):
    folder = Path(tempfile.mkdtemp())
    try:
        corpus = _build(folder, first, second, balance)
        found = [
            bytes(split.document(index).tolist()).decode()
            for split in (corpus.train, corpus.held_out)
            for index in range(split.num_documents)
        ]
        given_texts = {document for document in [*first, *second, "last"] if document.strip()}
        assert len(found) == len({text.strip("\n") for text in found})
        assert set(found) <= given_texts
        if balance == "none":
            # Texts that differ by line ends around them only are one document.
            assert sorted(text.strip("\n") for text in found) == sorted({text.strip("\n") for text in given_texts})
        for split in (corpus.train, corpus.held_out):
            scored = [
                int(split.offsets[document]) - 1 + place
                for document in range(split.num_documents)
                for window in cover(np.append(256, split.document(document)), length, 1)
                for place in range(max(1, window.kept_from), window.stop)
            ]
            assert scored == np.flatnonzero(split.tokens != 256).tolist()
    finally:
        shutil.rmtree(folder)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(Outcome), st.integers(1, 5)), max_size=15),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_a_journal_torn_anywhere_recovers_a_beginning_of_what_was_written(entries, kept_shares):
    records = [
        Record(0, outcome, number, size, size + 1 if outcome in (Outcome.TRAIN, Outcome.HELD_OUT) else 0)
        for number, (outcome, size) in enumerate(entries)
    ]
    folder = Path(tempfile.mkdtemp())
    try:
        _append(folder, records)
        whole = {name: (folder / name).read_bytes() for name in ("train.bin", "held_out.bin")}
        for name, share in zip(("journal", *whole), kept_shares, strict=True):
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: round(share * len(data))])
        with Journal(folder, end_of_document=256) as journal:
            recovered = list(journal)
        assert recovered == records[: len(recovered)]
        _append(folder, records[len(recovered) :])
        assert {name: (folder / name).read_bytes() for name in whole} == whole
    finally:
        shutil.rmtree(folder)


def _append(folder: Path, records: list[Record]) -> None:
    with Journal(folder, end_of_document=256) as journal:
        for record in records:
            tokens = np.full(record.num_tokens, record.digest, np.uint16) if record.num_tokens else None
            journal.append(record, tokens)
