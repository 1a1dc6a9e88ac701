"""The published figures, beside those measured here.

They come from larger models and another extract of Wikipedia, and only proportions of increments are comparable between
layers. So increments are given as proportions, losses as differences within one set of models, AUCs unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import polars as pl

from howfar.charts.assets import asset

RUNS = ("original", "replica")


@cache
def published() -> dict[str, Any]:
    """The figures by quantity, with their `source`."""
    return dict(json.loads(asset("reports/published.json")))


def beside_published(measure: str, table: pl.DataFrame, scope: str) -> pl.DataFrame | None:
    """Put the published figures that a measure reproduces beside the measured ones.

    Args:
        measure: Its name.
        table: Its table.
        scope: The scope of the model's increments, `"shared"` or `"per_layer"`.

    Returns:
        One row per figure: `figure`, `layer` (null if shared or for all layers), the published `original` and `replica`
        (null if there was none), and the `measured` value with the `low` and `high` of its interval. None if nothing
        comparable was published.
    """
    if measure not in _BESIDE:
        return None
    rows = _BESIDE[measure](table, scope)
    schema: dict[str, Any] = {"figure": pl.String, "layer": pl.Int64}
    schema |= dict.fromkeys((*RUNS, "measured", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema=schema) if rows else None


def _boundaries(table: pl.DataFrame, scope: str) -> list[dict[str, Any]]:
    of_increments = table.filter(
        target="chinese-words", quantity="auc", score="increment", scored_at="lead byte", head=0
    ).filter(pl.col("value").is_not_null())
    aucs = published()["chinese_word_boundary_auc_vs_jieba_by_layer"]
    rows = []
    for row in of_increments.iter_rows(named=True):
        runs = {run: aucs["shared"][run] if scope == "shared" else _at(aucs[run], row["layer"]) for run in RUNS}
        rows.append(_row("AUC of Chinese word boundaries, at the lead byte", row["layer"], runs, row))
    return rows


def _pairs(table: pl.DataFrame, scope: str) -> list[dict[str, Any]]:
    """Proportions; the interval is that of the difference, divided by the control's mean."""
    reverse = table.filter(control="reversed", type="all", head=0).filter(pl.col("value").is_not_null())
    if scope == "shared" or reverse.is_empty():
        return []
    figures = published()["entity_reversed_order"]
    columns = [pl.col(name) / pl.col("control_mean") + 1 for name in ("value", "low", "high")]
    rows = []
    for row in reverse.filter(pl.col("site") == reverse["site"][0]).with_columns(columns).iter_rows(named=True):
        runs = {
            run: _proportion(_at(figures[run]["real"], row["layer"]), _at(figures[run]["reversed"], row["layer"]))
            for run in RUNS
        }
        figure = f"increment in entities over that in reversed order, {row['site']}"
        rows.append(_row(figure, row["layer"], runs, row))
    return rows


def _attention(table: pl.DataFrame, scope: str) -> list[dict[str, Any]]:
    figures = published()["per_head_increment_vs_attention_distance"]
    rows = []
    for quantity, key in (("correlation over heads", "pearson"), ("rank correlation over heads", "spearman")):
        for row in table.filter(quantity=quantity, unit="tokens").iter_rows(named=True):
            rows.append(_row(f"{quantity} of increment and distance", None, {"original": figures[key]}, row))
    return rows


def _neutrality(table: pl.DataFrame, scope: str) -> list[dict[str, Any]]:
    losses = published()["validation_loss_nats_per_byte"]
    runs = {"original": _difference(losses[scope], losses["rope"])}
    measured = table.filter(source="all").filter(~table.filter(source="all")["pair"].is_null())
    return [
        _row(f"loss minus that of {row['against']}, nats per byte", None, runs, row)
        for row in measured.iter_rows(named=True)
    ]


_CLASSES = {
    "lowercase": "lowercase a-z",
    "uppercase": "uppercase A-Z",
    "space": "space",
    "newline": "newline",
    "sentence_punctuation": ". ! ?",
    "cjk_lead": "Chinese lead byte",
    "cjk_continuation": "Chinese continuation byte",
    "end_of_document": "end of document",
}
_CODE_CLASSES = {
    "indentation": "newline/indent",
    "newline": "newline/indent",
    "bracket": "brackets",
    "operator": "operators",
    "punctuation": "punctuation",
    "space": "space",
    "identifier": "identifiers",
}


def _increments(table: pl.DataFrame, scope: str) -> list[dict[str, Any]]:
    """Proportions of each class to the class of most letters, over the same tokens of the same layer."""
    measured = table.filter(pl.col("value").is_not_null(), pl.col("head") == 0)
    of_code = not measured.filter(pl.col("class").is_in(["bracket", "identifier"])).is_empty()
    names, reference = (_CODE_CLASSES, "identifier") if of_code else (_CLASSES, "lowercase")
    means = {(row["over"], row["layer"], row["class"]): row["value"] for row in measured.iter_rows(named=True)}
    rows = []
    for (over, layer, of_class), mean in means.items():
        if of_class not in names or of_class == reference or (over, layer, reference) not in means:
            continue
        pair = (names[of_class], names[reference])
        runs = {
            run: _proportion(*(_in_code(n, run, layer) if of_code else _in_text(n, run, layer, scope) for n in pair))
            for run in RUNS
        }
        if any(proportion is not None for proportion in runs.values()):
            where = "in code" if of_code else "in text" if over == "text" else "over the vocabulary"
            figure = f"increment of {_in_words(of_class)} over that of {_in_words(reference)}, {where}"
            measured_one = {"value": _proportion(mean, means[over, layer, reference]), "low": None, "high": None}
            rows.append(_row(figure, layer, runs, measured_one))
    return rows


def _in_code(name: str, run: str, layer: int | None) -> float | None:
    """A published mean increment of the model of code."""
    return _at(published()["code_model_layer_specialisation"][name], layer) if run == "original" else None


def _in_text(name: str, run: str, layer: int | None, scope: str) -> float | None:
    """A published mean increment of the models of text; of those with increments per layer, in the first layer."""
    figures = published()[f"increments_{'shared_model' if scope == 'shared' else 'per_layer_model_layer_0'}"]
    return None if layer else dict(figures.get(name, {})).get(run)


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("cjk", "Chinese")


_BESIDE: dict[str, Callable[[pl.DataFrame, str], list[dict[str, Any]]]] = {
    "increments": _increments,
    "boundaries": _boundaries,
    "pairs": _pairs,
    "attention": _attention,
    "neutrality": _neutrality,
}


def _row(figure: str, layer: int | None, runs: dict[str, float | None], measured: dict[str, Any]) -> dict[str, Any]:
    interval = {end: measured[end] for end in ("low", "high")}
    return {"figure": figure, "layer": layer, **runs, "measured": measured["value"], **interval}


def _at(values: list[float], layer: int | None) -> float | None:
    return values[layer] if layer is not None and layer < len(values) else None


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else round(first - second, 6)


def _proportion(first: float | None, second: float | None) -> float | None:
    return None if first is None or not second else first / second
