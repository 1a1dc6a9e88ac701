"""Traces as Parquet files: one row per token, everything else in the file's metadata."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.errors import HowFarError, TraceFileError
from howfar.files import whole_file
from howfar.foreign import first_line
from howfar.inputs import check_file, public_name
from howfar.positions import IncrementConfig

if TYPE_CHECKING:
    from howfar.reading.result import Trace

METADATA = "howfar_trace"


def save(trace: Trace, path: Path) -> None:
    """As `Trace.save`.

    The columns: `token_id`, `start_byte`, `end_byte`, `surprisal_nats`, `entropy_nats`, and one
    `increment_layer_L_head_H` for each layer and head.
    """
    import polars as pl

    columns: dict[str, Any] = {
        "token_id": trace.token_ids,
        "start_byte": trace.token_bytes[:, 0],
        "end_byte": trace.token_bytes[:, 1],
        "surprisal_nats": trace.surprisal_nats,
        "entropy_nats": trace.entropy_nats,
    }
    for layer, of_layer in zip(trace.layers, trace.increments, strict=True):
        columns |= {f"increment_layer_{layer}_head_{head}": of_head for head, of_head in enumerate(of_layer)}
    about = {
        "text": trace.text,
        "mark_increments": trace.mark_increments.tolist(),
        "config": None if trace.config is None else trace.config.to_dict(),
        "model_name": public_name(trace.model_name),
        "context": trace.context,
        "overlap": trace.overlap,
        "mark": trace.mark,
    }
    with whole_file(path) as partial:
        pl.DataFrame(columns).write_parquet(partial, metadata={METADATA: json.dumps(about)})


def load(path: Path) -> dict[str, Any]:
    """The fields of a trace, for `Trace.load`."""
    import polars as pl

    try:
        check_file(path)
        about = json.loads(pl.read_parquet_metadata(path)[METADATA])
        table = pl.read_parquet(path)
        columns = [name for name in table.columns if name.startswith("increment_")]
        layers = sorted({int(re.findall(r"\d+", name)[0]) for name in columns})
        increments = table.select(columns).to_numpy(order="fortran").T
        return {
            **about,
            "token_ids": table["token_id"].to_numpy(),
            "token_bytes": table.select("start_byte", "end_byte").to_numpy(),
            "layers": tuple(layers),
            "increments": increments.reshape(len(layers), -1, len(table)),
            "mark_increments": np.array(about["mark_increments"], dtype=np.float32),
            "surprisal_nats": table["surprisal_nats"].to_numpy(),
            "entropy_nats": table["entropy_nats"].to_numpy(),
            "config": None if about["config"] is None else IncrementConfig.from_dict(about["config"]),
        }
    except FileNotFoundError:
        raise TraceFileError(f"there is no file {path}; name one that Trace.save wrote") from None
    except (OSError, ValueError, KeyError, TypeError, HowFarError, pl.exceptions.PolarsError) as error:
        reason = "it is not a trace" if isinstance(error, KeyError) else first_line(error)
        raise TraceFileError(f"{path} cannot be read ({reason}); name a file that Trace.save wrote") from error
