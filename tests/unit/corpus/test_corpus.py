import json

import numpy as np
import pytest

from howfar.corpus.corpus import Corpus
from howfar.errors import CorpusError
from howfar.text.tokenizer import END_OF_DOCUMENT


def edit_manifest(corpus, **changes):
    path = corpus.folder / "corpus.json"
    manifest = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


def test_documents_are_separated_by_ends_of_document(corpus):
    train = corpus.train
    assert train.num_documents == 8
    assert train.tokens.dtype == np.uint16
    assert train.tokens[0] == END_OF_DOCUMENT
    assert [bytes(train.document(i).tolist()).decode() for i in (0, 1, -2)] == ["aaa", "中中中", "a" * 9]
    assert [train.source_of(i) for i in range(3)] == ["en", "zh", "en"]
    assert (train.tokens[train.offsets - 1] == END_OF_DOCUMENT).all()
    assert int((train.tokens == END_OF_DOCUMENT).sum()) == train.num_documents + 1
    assert train.num_bytes.tolist() == [len(train.document(i)) for i in range(8)]
    assert bytes(token for token in corpus.held_out.tokens.tolist() if token < 256).decode() == "a" * 20 + "中" * 20


def test_manifest_tells_counts_and_tokenizer(corpus):
    english = corpus.manifest["sources"][0]
    assert english["train"] == {"documents": 4, "bytes": 24, "tokens": 28}
    assert english["held_out"] == {"documents": 1, "bytes": 20, "tokens": 21}
    assert corpus.source_names == ("en", "zh")
    assert corpus.tokenizer_name == "bytes"
    assert corpus.end_of_document == END_OF_DOCUMENT
    assert repr(corpus) == f"Corpus({str(corpus.folder)!r}, 8 training and 2 held-out documents)"


def test_document_index_out_of_range(corpus):
    with pytest.raises(IndexError):
        corpus.train.document(8)


def test_missing_folder(tmp_path):
    with pytest.raises(CorpusError, match=r"there is no folder .*nowhere; make a corpus with `howfar corpus build"):
        Corpus.open(tmp_path / "nowhere")


def test_folder_without_manifest(tmp_path):
    with pytest.raises(CorpusError, match=r"is not a finished corpus: it has no corpus\.json"):
        Corpus.open(tmp_path)


def test_unreadable_manifest(tmp_path):
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(CorpusError, match=r"corpus\.json cannot be read"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("content", ["[]", '{"format": "other"}'])
def test_foreign_manifest(tmp_path, content):
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(CorpusError, match="does not describe a howfar-corpus"):
        Corpus.open(tmp_path)


def test_other_format_version(corpus):
    edit_manifest(corpus, format_version=2)
    with pytest.raises(CorpusError, match="has format version 2, this howfar reads 1"):
        Corpus.open(corpus.folder)


def test_manifest_without_a_part(corpus):
    edit_manifest(corpus, hash=None)
    with pytest.raises(CorpusError, match="lacks hash"):
        Corpus.open(corpus.folder)


@pytest.mark.parametrize("changes", [{"files": []}, {"sources": [1]}, {"tokenizer": {"name": "bytes"}}])
def test_malformed_manifest(corpus, changes):
    edit_manifest(corpus, **changes)
    with pytest.raises(CorpusError, match=r"corpus\.json is malformed; build the corpus again"):
        Corpus.open(corpus.folder)


def test_missing_file(corpus):
    (corpus.folder / "train.offsets.npy").unlink()
    with pytest.raises(CorpusError, match=r"lacks train\.offsets\.npy"):
        Corpus.open(corpus.folder)


def test_truncated_file(corpus):
    path = corpus.folder / "train.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorpusError, match=r"train\.bin has 208 bytes, but corpus\.json says 210"):
        Corpus.open(corpus.folder)


def test_tables_that_do_not_fit(corpus):
    path = corpus.folder / "train.offsets.npy"
    offsets = np.load(path)
    offsets[-1] += 1
    np.save(path, offsets)
    with pytest.raises(CorpusError, match=r"tables of .* do not fit train\.bin"):
        Corpus.open(corpus.folder)


def test_pickled_table_is_refused(corpus):
    path = corpus.folder / "train.sources.npy"
    size = path.stat().st_size
    path.write_bytes(b"\x80\x04N.".ljust(size, b"\0"))
    with pytest.raises(CorpusError, match=r"document table of .* cannot be read"):
        Corpus.open(corpus.folder)


def test_verify_finds_a_changed_byte_that_opening_does_not(corpus):
    corpus.verify()
    path = corpus.folder / "held_out.bin"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    opened = Corpus.open(corpus.folder)
    with pytest.raises(CorpusError, match=r"held_out\.bin is damaged"):
        opened.verify()
    path.unlink()
    with pytest.raises(CorpusError, match=r"held_out\.bin is missing"):
        opened.verify()


def test_verify_finds_an_altered_hash(corpus):
    edit_manifest(corpus, hash="0" * 64)
    with pytest.raises(CorpusError, match=r"corpus\.json was altered"):
        Corpus.open(corpus.folder).verify()
