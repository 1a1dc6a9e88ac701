"""Draw the results' pictures from the tables of `docs/take_results.sh`: `python docs/draw_results.py OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from howfar.charts.measured import draw
from howfar.measures.registry import MEASURES

IMAGES = Path(__file__).with_name("images")
PICTURES = {
    "classes": ("increments", "increments-bilingual-per-layer"),
    "words": ("boundaries", "words-bilingual-per-layer"),
    "names": ("pairs", "pairs-en"),
    "interventions": ("interventions", "interventions"),
}
"""By name: the measure, and the table."""


def main(tables: Path) -> None:
    """Draw each; the line that names its sources is the one that the command printed below its table."""
    for name, (measure, table) in PICTURES.items():
        printed = (tables / f"{table}.txt").read_text(encoding="utf-8").splitlines()
        source = next(line for line in reversed(printed) if " · " in line)
        rows = pl.read_csv(tables / f"{table}.csv", infer_schema_length=None)
        draw(MEASURES[measure], rows, source=source).save(IMAGES / f"results-{name}.svg")
        print(IMAGES / f"results-{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
