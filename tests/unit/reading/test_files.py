import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from howfar.errors import OutputError, TraceFileError
from howfar.positions import IncrementConfig
from howfar.reading import Trace

ARRAYS = ("token_ids", "token_bytes", "increments", "mark_increments", "surprisal_nats", "entropy_nats", "positions")


@pytest.fixture
def trace() -> Trace:
    random = np.random.default_rng(0)
    text = "a\0中\n"
    return Trace(
        text=text,
        token_ids=np.frombuffer(text.encode(), np.uint8).astype(np.int64),
        token_bytes=np.stack([np.arange(6), np.arange(1, 7)], axis=1),
        layers=(2, 10),
        increments=random.random((2, 3, 6), dtype=np.float32),
        mark_increments=random.random((2, 3), dtype=np.float32),
        surprisal_nats=random.random(6, dtype=np.float32),
        entropy_nats=random.random(6, dtype=np.float32),
        config=IncrementConfig(per_head=True, advance="after"),
        model_name="some/model",
        context=512,
        overlap=100,
    )


def test_a_saved_trace_comes_back(trace: Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "trace.parquet")
    loaded = Trace.load(tmp_path / "trace.parquet")
    for name in ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(trace, name)), name
        assert getattr(loaded, name).dtype == getattr(trace, name).dtype
    for name in ("text", "layers", "config", "model_name", "context", "overlap"):
        assert getattr(loaded, name) == getattr(trace, name)
    assert loaded.attention is None
    assert [path.name for path in tmp_path.iterdir()] == ["trace.parquet"]


def test_a_saved_trace_is_a_table_by_token(trace: Trace, tmp_path: Path) -> None:
    trace.save(str(tmp_path / "trace.parquet"))
    table = pl.read_parquet(tmp_path / "trace.parquet")
    assert table["start_byte"].to_list() == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(table["increment_layer_10_head_2"].to_numpy(), trace.increments[1, 2])


def test_a_file_that_cannot_be_written_leaves_nothing(trace: Trace, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "trace.parquet"):
        with pytest.raises(OutputError, match=f"{path} cannot be written .*choose"):
            trace.save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_is_no_trace_is_refused(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="there is no file"):
        Trace.load(tmp_path / "none.parquet")
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    with pytest.raises(TraceFileError, match="it is not a trace"):
        Trace.load(other)
    whole = tmp_path / "trace.parquet"
    trace.save(whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(TraceFileError, match="cannot be read"):
        Trace.load(cut)


def test_a_saved_trace_does_not_say_where_its_model_was(trace: Trace, tmp_path: Path) -> None:
    dataclasses.replace(trace, model_name="/home/ada/secret/model").save(tmp_path / "t.parquet")
    assert b"secret" not in (tmp_path / "t.parquet").read_bytes()
    assert Trace.load(tmp_path / "t.parquet").model_name == "model"
