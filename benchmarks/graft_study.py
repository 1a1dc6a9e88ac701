"""Graft a pretrained model in several ways, each beside a baseline on the same windows, and compare them.

Each run is named TRAIN-SCOPE: what is trained (increments only, with LoRA, or fully) and which layers share increments.
LoRA and full training have a baseline with plain positions; that of increments alone is the base. Every run sees the
same windows in the same order; every model is scored on the same windows of the same held-out documents, in float32.
Each graft is scored again with every increment set to the mean of its layer: what then is lost is due to differences
between tokens. Intervals resample documents; differences are paired. Run it again with the same arguments to carry on
where it stopped.

    howfar corpus build corpus --source en=train.txt,held_out=dev.txt --tokenizer model.gguf
    OMP_NUM_THREADS=1 python benchmarks/graft_study.py model.gguf corpus runs/grafts --steps 100

It prints tables in Markdown; the last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch

from howfar.corpus.corpus import Corpus
from howfar.corpus.windows import Windows
from howfar.measures import statistics
from howfar.measures.vocabulary import agreement, movers, vocabulary
from howfar.models.loading import load
from howfar.positions.observe import override
from howfar.training.checkpoints import RECORD, read_record
from howfar.training.evaluation import DocumentLosses, document_losses
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from howfar.training.trainer import increment_statistics

RATES = {"shared": 1e-2, "per_layer": 3e-3}  # a network of layer inputs reads far larger numbers than one of embeddings
MEANS = ", layer means"
RUNS = ["lora-shared", "increments-shared", "increments-per_layer", "lora-per_layer"]


def recipe_of(arguments: argparse.Namespace, run: str) -> GraftRecipe:
    """All runs are scored together at the end, so each scores only a window by itself."""
    train, scope = run.split("-")
    first = next(other for other in arguments.runs if other.startswith(train))
    trainer = {
        "max_steps": arguments.steps,
        "per_device_train_batch_size": arguments.batch_size,
        "warmup_steps": arguments.steps // 20,
        "logging_steps": max(1, arguments.steps // 2),
        "save_steps": max(1, arguments.steps // 2),
        "bf16": arguments.bf16,
        "use_cpu": not torch.accelerator.is_available(),
    }
    return GraftRecipe.load(
        f"graft-{train}",
        overrides={
            "base": arguments.base,
            "corpus": arguments.corpus,
            "name": run,
            "context": arguments.context,
            "increments": {"scope": scope},
            "increment_learning_rate": RATES[scope],
            "baseline": run == first,
            "held_out_windows": 1,
            "trainer": trainer,
        },
    )


def is_finished(folder: Path, steps: int) -> bool:
    """Whether a run came to its end before."""
    if not (folder / RECORD).is_file():
        return False
    record = read_record(folder)
    return record["step"] == steps and "losses" in record


def score(model: torch.nn.Module, corpus: Corpus, arguments: argparse.Namespace) -> DocumentLosses:
    """Losses of held-out documents."""
    return document_losses(
        model, corpus.held_out, length=arguments.context, batch_size=4, max_windows=arguments.held_out_windows
    )


def losses_table(losses: dict[str, DocumentLosses]) -> list[dict[str, Any]]:
    """Nats per byte of each model, and its paired differences from the base and from what was trained alike.

    Each with its 95% interval over documents.
    """
    estimates = {name: statistics.ratio(loss.nats, loss.num_bytes) for name, loss in losses.items()}
    rows = []
    for name, estimate in estimates.items():
        row: dict[str, Any] = {"model": name, "nats_per_byte": _with_interval(estimate)}
        row["minus_base"] = _with_interval(estimate - estimates["base"])
        if (baseline := f"{name.partition('-')[0]}-baseline") in estimates:
            row["minus_baseline"] = _with_interval(estimate - estimates[baseline])
        if name.endswith(MEANS):
            row["minus_graft"] = _with_interval(estimate - estimates[name.removesuffix(MEANS)])
        rows.append(row)
    return rows


def mean_of_layer(spread: dict[str, float]) -> Callable[[int, torch.Tensor], torch.Tensor]:
    """Replaces each increment by the mean of its layer: what is left is a scale for each layer."""
    shared = spread["increment_mean/layer_0"]  # the only one where layers share increments
    return lambda layer, increments: torch.full_like(increments, spread.get(f"increment_mean/layer_{layer}", shared))


def _with_interval(estimate: statistics.Estimate) -> list[float]:
    return [round(float(part), 6) for part in (estimate.value, estimate.low, estimate.high)]


def print_findings(losses: list[dict[str, Any]], agreements: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> None:
    """Print tables in Markdown."""
    seen, drift = pl.col("count") > 0, pl.col("drift")
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_formatting="MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=40,
        fmt_table_cell_list_len=3,
        float_precision=4,
        tbl_width_chars=200,
    ):
        print(pl.DataFrame(losses), agreements, sep="\n\n", end="\n\n")
        for name, table in tables.items():
            far = movers(table, num=10, min_count=5).filter(pl.col("among") == "all")
            print(name, far.select("direction", "rank", "token", "class", "count", "increment", "drift"), sep="\n\n")
            print(table.filter(seen & pl.col("special")).select("token", "count", "increment", "drift"))
            weighted = (drift * pl.col("count")).sum() / pl.col("count").sum()  # as often as they were read
            print(table.filter(seen).group_by("class").agg(pl.len().alias("tokens"), weighted).sort("drift"))


def main() -> None:
    """Run, score, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("corpus")
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--held-out-windows", type=int, default=64)
    parser.add_argument("--runs", nargs="+", metavar="TRAIN-SCOPE", default=RUNS)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    begun, corpus = time.time(), Corpus.open(arguments.corpus)

    folders: dict[str, Path] = {}
    for run in arguments.runs:
        folder = arguments.output / run
        if not is_finished(folder, arguments.steps):
            graft(recipe_of(arguments, run), folder)
        folders[run] = folder
        if (folder / "baseline").is_dir():
            folders[f"{run.partition('-')[0]}-baseline"] = folder / "baseline"
        print(f"{run}: done after {time.time() - begun:.0f} s", flush=True)

    windows = Windows(corpus.held_out, arguments.context, 0, 4)
    probe = torch.stack([torch.from_numpy(windows[index]) for index in range(len(windows))])
    losses, tables, spread = {"base": score(load(arguments.base), corpus, arguments)}, {}, {}
    for name, folder in folders.items():
        model = load(folder)
        losses[name] = score(model, corpus, arguments)
        spread[name] = increment_statistics(model, probe)
        if not name.endswith("baseline"):
            with override(model, mean_of_layer(spread[name])):
                losses[name + MEANS] = score(model, corpus, arguments)
            tables[name] = vocabulary(model)
            tables[name].write_parquet(folder / "vocabulary.parquet")
        print(f"{name}: scored after {time.time() - begun:.0f} s", flush=True)

    agreements = agreement(tables)
    print_findings(losses_table(losses), agreements, tables)
    result = {
        "steps": arguments.steps,
        "tokens": arguments.steps * arguments.batch_size * arguments.context,
        "held_out_documents": len(losses["base"].nats),
        "held_out_bytes": round(float(losses["base"].num_bytes.sum())),
        "losses": losses_table(losses),
        "agreement": agreements.to_dicts(),
        "increments": spread,
        "elapsed_seconds": round(time.time() - begun),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
