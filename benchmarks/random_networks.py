"""What increment networks with random weights mark, beside what the trained ones mark: a control for `boundaries`.

A network reads the residual stream, and boundaries can be read from most of its directions. So a layer may mark them
although training did not make it do so. Here each layer's network is replaced by many of the same shape with random
weights, which read the same tokens; the AUCs of their outputs are what a layer marks by chance. Only a trained AUC
beyond nearly all of these is due to training.

    OMP_NUM_THREADS=1 python benchmarks/random_networks.py runs/graft gold.txt --gaps 20000

It prints a table in Markdown; the last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from howfar.measures.boundaries.gaps import Gaps, find_gaps
from howfar.measures.boundaries.probes import hidden_states
from howfar.measures.boundaries.targets import target_named
from howfar.measures.files import read_gold
from howfar.models.loading import load, tokenizer_of
from howfar.positions import increments_of
from howfar.positions.network import IncrementNetwork

PLACES = {"first token": 0, "token before": -1}  # whose increment is scored: bytes, in models that read bytes
SHARES = (0.5, 0.95)


def auc(scores: NDArray, labels: NDArray, strata: NDArray) -> float:
    """The share of pairs of a boundary and another gap of its stratum in which the boundary scores higher."""
    num, others = pl.col("boundary").sum(), (~pl.col("boundary")).sum()
    above, pairs = (
        pl.DataFrame({"score": scores, "boundary": labels, "stratum": strata})
        .with_columns(rank=pl.col("score").rank().over("stratum"))
        .group_by("stratum")
        .agg(above=pl.col("rank").filter("boundary").sum() - num * (num + 1) / 2, pairs=num * others)
        .select(pl.col("above", "pairs").sum())
        .row(0)
    )
    return float(above / pairs)


def far_from_chance(scores: NDArray, gaps: Gaps) -> dict[str, float]:
    """How far the AUC of scores is from chance, over all gaps and among those after the same token."""
    strata = {"auc": np.zeros(len(gaps), dtype=np.int64), "auc within": gaps.previous}
    return {name: abs(auc(scores, gaps.is_boundary, of) - 0.5) for name, of in strata.items()}


def main() -> None:
    """Read once, then score the trained increments and those of random networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("gold")
    parser.add_argument("--gaps", type=int, default=20_000)
    parser.add_argument("--networks", type=int, default=100, help="random networks of each layer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)

    model = load(arguments.model)
    tokenizer, config = tokenizer_of(model), increments_of(model).config
    target = target_named("chinese-words")
    gaps = find_gaps(model, read_gold([Path(arguments.gold)]), target, tokenizer=tokenizer, max_gaps=arguments.gaps)
    traces, members = zip(*gaps.by_document(), strict=True)
    trained = {"first token": gaps.first_token, "token before": gaps.token_before}
    rows = []
    for place, shift in PLACES.items():
        read = [gaps.tokens[of_document] + shift for of_document in members]
        states = hidden_states(model, traces, read, tokenizer)
        for index, layer in enumerate(traces[0].layers):
            inputs = torch.from_numpy(states[index]).float()[None]
            found = []
            for _ in range(arguments.networks):
                network = IncrementNetwork(inputs.shape[-1], 1, config, normalise=True)
                torch.nn.init.normal_(network.output.weight)
                with torch.inference_mode():
                    found.append(far_from_chance(network(inputs)[0, 0].numpy(), gaps))
            for quantity, value in far_from_chance(trained[place][index, 0], gaps).items():
                by_chance = np.array([one[quantity] for one in found])
                row = {"place": place, "quantity": quantity, "layer": layer, "trained": value}
                row |= {f"random, {share:.0%}": float(np.quantile(by_chance, share)) for share in SHARES}
                rows.append(row | {"share as far": float((by_chance >= value).mean())})
    with pl.Config(tbl_rows=-1, tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, float_precision=3):
        print(pl.DataFrame(rows))
    print(json.dumps({"num_gaps": len(gaps), "networks": arguments.networks, "rows": rows}))


if __name__ == "__main__":
    main()
