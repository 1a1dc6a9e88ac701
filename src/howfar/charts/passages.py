"""Passages as a web page: one file without scripts or network access."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from howfar.charts.assets import asset, render
from howfar.charts.glyphs import in_line, visible
from howfar.charts.page import web_page
from howfar.text.classes import class_in_words

TITLE = "Where are increments largest, smallest, and unlike their class?"
HEADINGS = {
    "largest": "Largest increments",
    "smallest": "Smallest increments",
    "above its class": "Farthest above the mean of their class",
    "below its class": "Farthest below the mean of their class",
}
QUANTILES = {0.05: "5% of all tokens", 0.5: "half", 0.95: "95%"}


def page_of_passages(table: pl.DataFrame) -> str:
    """Give the page of a table of `howfar.measures.contexts`."""
    several_heads = table["head"].n_unique() > 1
    sections = []
    for (layer, head), own in table.group_by("layer", "head", maintain_order=True):
        name = ("All layers" if layer is None else f"Layer {layer}") + (f", head {head}" if several_heads else "")
        of_all = own.filter(pl.col("rank").is_null(), pl.col("class") == "all")
        increments = dict(of_all.select("share", "increment").iter_rows())
        kinds = [(heading, own.filter(kind=kind)) for kind, heading in HEADINGS.items()]
        sections.append(
            {
                "anchor": f"layer-{layer}-head-{head}",
                "name": name,
                "quantiles": [f"{increments[share]:.3f} in {words}" for share, words in QUANTILES.items()],
                "kinds": [(heading, map(_passage, rows.iter_rows(named=True))) for heading, rows in kinds if len(rows)],
            }
        )
    num_tokens = table.filter(pl.col("rank").is_null(), pl.col("class") == "all")["num_tokens"][0]
    body = render("charts/passages.html", title=TITLE, num_tokens=num_tokens, sections=sections)
    return web_page(TITLE, [asset("charts/document.css"), asset("charts/passages.css")], body)


def _passage(row: dict[str, Any]) -> dict[str, Any]:
    text = row["left"] + row["scored"] + row["right"]
    return {
        "is_chinese": any("\u4e00" <= character <= "\u9fff" for character in text),
        "left": in_line(row["left"]),
        "scored": visible(row["scored"]),
        "right": in_line(row["right"]),
        "increment": f"{row['increment']:.3f}",
        "facts": _facts(row),
    }


def _facts(row: dict[str, Any]) -> Iterator[str]:
    num_bytes = len(row["scored"].encode())
    yield class_in_words(row["class"])
    if row["deviation"] is not None:
        yield f"{abs(row['deviation']):.1f} sd {'above' if row['deviation'] > 0 else 'below'} its mean"
    if len(row["token_hex"].split()) < num_bytes:
        yield f"byte {row['byte']} of {num_bytes}"
    yield f"surprisal {row['surprisal_nats']:.2f} nats"
    yield f"{row['source']}, document {row['document']}"
