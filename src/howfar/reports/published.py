"""The published figures, beside those measured here.

They come from larger models and another extract of Wikipedia, and only proportions of increments are comparable between
layers. So increments are given as proportions, losses as differences within one set of models, AUCs unchanged. In code
the published table itself has a column for each layer, so its means stand beside the means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import polars as pl

from howfar.charts.assets import asset
from howfar.positions import IncrementConfig
from howfar.text.classes import class_in_words

RUNS = ("original", "replica")


@cache
def published() -> dict[str, Any]:
    """The figures by quantity, with their `source`."""
    return dict(json.loads(asset("reports/published.json")))


def kind_of(config: IncrementConfig | None, encoding: str | None) -> str | None:
    """The kind of published model that a model is like; None if none is.

    Args:
        config: Its increments; None if its positions are plain.
        encoding: Name of its encoding; None for rotary.

    Returns:
        `"shared"` or `"per_layer"`, the scope of rotary increments, followed by `"_per_head"` if each head has its own;
        `"rope"` or `"pope"` if positions are plain.
    """
    is_rotary = encoding in (None, "rotary")
    if config is not None:
        return config.scope + "_per_head" * config.per_head if is_rotary else None
    return "rope" if is_rotary else "pope" if encoding == "pope" else None


def beside_published(measure: str, table: pl.DataFrame, kind: str) -> pl.DataFrame | None:
    """Put the published figures that a measure reproduces beside the measured ones.

    Args:
        measure: Its name.
        table: Its table.
        kind: The model's, from `kind_of`.

    Returns:
        One row per figure: `figure`, `layer` (null if shared or for all layers), the published `original` and `replica`
        (null if there was none), and the `measured` value with the `low` and `high` of its interval. None if nothing
        comparable was published: of increments per head there are the correlation with distances and the loss.
    """
    has_heads = kind.endswith("_per_head") or ("head" in table.columns and table["head"].drop_nulls().n_unique() > 1)
    if measure not in _BESIDE or (measure in _OF_LAYERS and has_heads):
        return None
    rows = _BESIDE[measure](table, kind)
    schema: dict[str, Any] = {"figure": pl.String, "layer": pl.Int64}
    schema |= dict.fromkeys((*RUNS, "measured", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema=schema) if rows else None


def _boundaries(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    of_increments = table.filter(
        target="chinese-words", quantity="auc", score="increment", scored_at="lead byte", head=0
    ).filter(pl.col("value").is_not_null())
    aucs = published()["chinese_word_boundary_auc_vs_jieba_by_layer"]
    rows = []
    for row in of_increments.iter_rows(named=True):
        runs = {run: aucs["shared"][run] if kind == "shared" else _at(aucs[run], row["layer"]) for run in RUNS}
        rows.append(_row("AUC of Chinese word boundaries, at the lead byte", row["layer"], runs, row))
    return rows


def _pairs(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Proportions; the interval is that of the difference, divided by the control's mean."""
    reverse = table.filter(pl.col("value").is_not_null(), pl.col("control_mean") > 0)  # steps back have no proportion
    reverse = reverse.filter(control="reversed", type="all", head=0)
    if kind == "shared" or reverse.is_empty():
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


def _attention(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    figures = published()["per_head_increment_vs_attention_distance"]
    rows = []
    for quantity, key in (("correlation over heads", "pearson"), ("rank correlation over heads", "spearman")):
        for row in table.filter(quantity=quantity, unit="tokens").iter_rows(named=True):
            rows.append(_row(f"{quantity} of increment and distance", None, {"original": figures[key]}, row))
    return rows


def _neutrality(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    losses = published()["validation_loss_nats_per_byte"]
    if kind not in losses:
        return []
    runs = {"original": _difference(losses[kind], losses["rope"])}
    measured = table.filter(source="all").filter(~table.filter(source="all")["pair"].is_null())
    return [
        _row(f"loss minus that of {row['against']}, nats per byte", None, runs, row)
        for row in measured.iter_rows(named=True)
    ]


def _indexing(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Questions of one hop, as in the published task."""
    accuracy = published()["indirect_indexing_accuracy"].get(kind)
    measured = table.filter(pl.col("offset").is_null(), pl.col("value").is_not_null(), hops=1)
    if accuracy is None or measured.is_empty():
        return []
    figure = "accuracy of indirect indexing, one hop"
    return [_row(figure, None, {"original": accuracy}, measured.row(0, named=True))]


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
    "newline/indent": ("newline", "indentation"),
    "brackets": ("bracket",),
    "operators": ("operator",),
    "punctuation": ("punctuation",),
    "space": ("space",),
    "identifiers": ("identifier",),
}
"""The published classes of code, and ours that they consist of."""


def _increments(table: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Proportions of each class to lowercase letters, over the same tokens of the same layer; for code, means."""
    measured = table.filter(pl.col("value").is_not_null(), pl.col("head") == 0)
    if not measured.filter(pl.col("class").is_in(["bracket", "identifier"])).is_empty():
        return list(_increments_in_code(measured.filter(over="text")))
    reference = "lowercase"
    means = {(row["over"], row["layer"], row["class"]): row["value"] for row in measured.iter_rows(named=True)}
    rows = []
    for (over, layer, of_class), mean in means.items():
        if of_class not in _CLASSES or of_class == reference or (over, layer, reference) not in means:
            continue
        pair = (_CLASSES[of_class], _CLASSES[reference])
        runs = {run: _proportion(*(_in_text(name, run, layer, kind) for name in pair)) for run in RUNS}
        if any(proportion is not None for proportion in runs.values()):
            where = "in text" if over == "text" else "over the vocabulary"
            figure = f"increment of {class_in_words(of_class)} over that of {class_in_words(reference)}, {where}"
            measured_one = {"value": _proportion(mean, means[over, layer, reference]), "low": None, "high": None}
            rows.append(_row(figure, layer, runs, measured_one))
    return rows


def _increments_in_code(measured: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Means by class and layer, as in the published table; one of several classes of ours has no interval."""
    for name, classes in _CODE_CLASSES.items():
        figures = published()["code_model_layer_specialisation"][name]
        own = measured.filter(pl.col("class").is_in(classes), pl.col("layer").is_not_null())
        for (layer,), rows in own.group_by("layer", maintain_order=True):
            if (figure := _at(figures, layer)) is None:
                continue
            num_tokens = pl.col("num_tokens")
            mean = rows.select((pl.col("value") * num_tokens).sum() / num_tokens.sum()).item()
            interval = rows.row(0, named=True) if len(rows) == 1 else {"low": None, "high": None}
            yield _row(f"mean increment of {name}, in code", layer, {"original": figure}, interval | {"value": mean})


def _in_text(name: str, run: str, layer: int | None, kind: str) -> float | None:
    """A published mean increment of the models of text; of those with increments per layer, in the first layer."""
    figures = published()[f"increments_{'shared_model' if kind == 'shared' else 'per_layer_model_layer_0'}"]
    return None if layer else dict(figures.get(name, {})).get(run)


_BESIDE: dict[str, Callable[[pl.DataFrame, str], list[dict[str, Any]]]] = {
    "increments": _increments,
    "boundaries": _boundaries,
    "pairs": _pairs,
    "attention": _attention,
    "neutrality": _neutrality,
    "indexing": _indexing,
}


_OF_LAYERS = frozenset({"increments", "boundaries", "pairs"})
"""Measures whose published figures are of increments that all heads of a layer share."""


def _row(figure: str, layer: int | None, runs: dict[str, float | None], measured: dict[str, Any]) -> dict[str, Any]:
    interval = {end: measured[end] for end in ("low", "high")}
    return {"figure": figure, "layer": layer, **runs, "measured": measured["value"], **interval}


def _at(values: list[float], layer: int | None) -> float | None:
    return values[layer] if layer is not None and layer < len(values) else None


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else round(first - second, 6)


def _proportion(first: float | None, second: float | None) -> float | None:
    return None if first is None or not second else first / second
