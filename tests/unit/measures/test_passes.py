"""Where windows are drawn in documents."""

from pathlib import Path

import numpy as np
import pytest

from howfar.measures import increments as increments_measure
from howfar.measures.passes import sample_windows
from howfar.models.loading import load
from howfar.reading.reader import Reader
from howfar.text.spans import byte_spans_of_tokens
from howfar.text.tokenizer import END_OF_DOCUMENT
from support.copying import copying_model
from support.grafts import documents, make_base
from support.lookup import lookup_model

LENGTH = 33


@pytest.mark.parametrize("character", ["a", "中", "👩"])
def test_windows_begin_anywhere_in_a_document_at_a_character(character: str) -> None:
    texts = [f"{number:02}" + character * 200 for number in range(40)]
    windows = sample_windows(Reader(copying_model(), context=LENGTH), texts, num_documents=40)
    places = []
    for window in windows:
        assert len(window) == LENGTH
        assert window.tokens[0] == END_OF_DOCUMENT
        data = texts[window.document].encode()
        piece = bytes(window.tokens[1:].astype(np.uint8))
        assert piece in data
        assert piece[0] & 0xC0 != 0x80
        places.append(len(data.partition(piece)[0]))
    assert sum(place > 0 for place in places) > 30  # the beginning is one place of many


@pytest.mark.parametrize("num_tokens", [5, LENGTH - 1, LENGTH, LENGTH + 1])
def test_every_place_of_a_document_is_drawn(num_tokens: int) -> None:
    text = "".join(chr(97 + place) if place < 26 else chr(39 + place) for place in range(num_tokens))
    starts = {
        chr(window.tokens[1])
        for seed in range(12)
        for window in sample_windows(Reader(copying_model(), context=LENGTH), [text] * 10, num_documents=10, seed=seed)
    }
    assert starts == set(text[: max(1, num_tokens - LENGTH + 2)])


def test_subword_windows_are_stretches_of_the_documents_tokens(tmp_path: Path) -> None:
    reader = Reader(load(make_base(tmp_path / "base")), context=LENGTH)
    texts = [" ".join([text] * 4) for text in documents(12).split("\n\n")]
    for window in sample_windows(reader, texts, num_documents=12):
        tokens = byte_spans_of_tokens(reader.tokenizer, texts[window.document]).token_ids
        stretches = np.lib.stride_tricks.sliding_window_view(tokens, len(window) - 1)
        assert (stretches == window.tokens[1:]).all(axis=1).any()


@pytest.mark.parametrize("num_bytes", [1, 31, 32, 33, 50, 63, 64, 65, 200, 5000])
def test_increments_are_read_from_the_beginning_of_a_document_to_its_end_mark(num_bytes: int) -> None:
    reader = Reader(lookup_model({}), context=LENGTH)
    windows = increments_measure._windows(reader, ["x" * num_bytes] * 10, "text", 10)
    kept: dict[int, list[int]] = {number: [] for number in range(10)}
    for window, classes in windows.items():
        places = list(range(window.kept_from, window.stop))
        assert len(classes) == len(places) == len(window.tokens[window.kept])
        assert len(window) <= LENGTH
        kept[window.document] += places
    for places in kept.values():
        assert len(places) == len(set(places))  # no token counts twice
        assert places[0] == 1  # the mark before a document does not count
        assert places[-1] == num_bytes + 1  # the one behind it does
        if num_bytes < 8 * (LENGTH - 1):
            assert places == list(range(1, num_bytes + 2))
