"""Passages as a web page: one file without scripts or network access."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from string import Template
from typing import Any

import polars as pl

from howfar.charts.glyphs import in_line, visible
from howfar.charts.page import asset, web_page

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
    contents, sections = [], []
    for (layer, head), own in table.group_by("layer", "head", maintain_order=True):
        name = "All layers" if layer is None else f"Layer {layer}"
        name += f", head {head}" if several_heads else ""
        anchor = f"layer-{layer}-head-{head}"
        contents.append(f'<li><a href="#{anchor}">{name}</a></li>')
        sections.append(f'<section id="{anchor}"><h2>{name}</h2>{"".join(_section(own))}</section>')
    num_tokens = table.filter(pl.col("rank").is_null(), pl.col("class") == "all")["num_tokens"].to_list()[0]
    body = Template(asset("howfar.charts", "passages.html")).substitute(
        title=TITLE, num_tokens=f"{num_tokens:,}", contents="".join(contents), sections="\n".join(sections)
    )
    return web_page(TITLE, [asset("howfar.charts", name) for name in ("document.css", "passages.css")], body)


def _section(own: pl.DataFrame) -> Iterator[str]:
    of_all = own.filter(pl.col("rank").is_null(), pl.col("class") == "all")
    increments = dict(of_all.select("share", "increment").iter_rows())
    parts = [f"{increments[share]:.3f} in {words}" for share, words in QUANTILES.items()]
    yield f'<p class="facts">The increment is at most {", ".join(parts)}.</p>'
    for kind, heading in HEADINGS.items():
        rows = own.filter(kind=kind)
        if len(rows):
            items = "".join(map(_item, rows.iter_rows(named=True)))
            yield f"<details open><summary><h3>{heading}</h3></summary><ol>{items}</ol></details>"


def _item(row: dict[str, Any]) -> str:
    text = row["left"] + row["scored"] + row["right"]
    language = ' lang="zh"' if any("\u4e00" <= character <= "\u9fff" for character in text) else ""
    passage = (
        f'<span class="left"><bdi>{escape(in_line(row["left"]))}</bdi></span>'
        f"<mark>{escape(visible(row['scored']))}</mark>"
        f'<span class="right"><bdi>{escape(in_line(row["right"]))}</bdi></span>'
    )
    return f'<li><p class="passage"{language}>{passage}</p><p class="facts">{_facts(row)}</p></li>'


def _facts(row: dict[str, Any]) -> str:
    num_bytes = len(row["scored"].encode())
    token_bytes = len(row["token_hex"].split())
    facts = [f"<b>{row['increment']:.3f}</b>", escape(row["class"].replace("_", " ").replace("cjk", "Chinese"))]
    if row["deviation"] is not None:
        facts.append(f"{abs(row['deviation']):.1f} sd {'above' if row['deviation'] > 0 else 'below'} its mean")
    if token_bytes < num_bytes:
        facts.append(f"byte {row['byte']} of {num_bytes}")
    facts.append(f"surprisal {row['surprisal_nats']:.2f} nats")
    facts.append(f"{escape(row['source'])}, document {row['document']}")
    return " · ".join(facts)
