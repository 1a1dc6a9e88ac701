"""What measures declare: it is complete, true of their tables, and enough for one from elsewhere."""

import json
import sys
from collections.abc import Callable
from importlib import invalidate_caches
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from howfar.charts.measured import chart_of
from howfar.commands.measure import SAMPLES
from howfar.errors import ConfigError
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.choices import Target
from howfar.measures.declaration import ESTIMATE, Measure
from howfar.measures.inputs import Inputs
from howfar.measures.registry import MEASURES, measure_named

TOY = '''
"""How many spaces are in a text, in thousandths?"""

import polars as pl

from howfar.measures.declaration import Measure


def run(model, inputs, progress):
    rows = [
        {"word": text.split()[0], "value": 1000 * text.count(" ") / len(text), "low": None, "high": None, "n": 1}
        for text in inputs.some_texts
    ]
    return pl.DataFrame(rows).with_columns(pl.lit(None, pl.String).alias("note"))


MEASURE = Measure(
    name="toy",
    question="How many of a thousand characters are spaces?",
    run=run,
    value="spaces in a thousand characters",
    counts="documents",
    columns=("word", "value [low, high]", "n"),
)
'''

TOY_CHART = '''
"""A chart of the toy measure."""

import altair as alt

from howfar.charts.inline import inline
from howfar.charts.picture import Picture


def draw_toy(table, *, theme="light"):
    bars = alt.Chart(inline(table)).mark_bar().encode(x="value:Q", y="word:N")
    return Picture(bars.properties(title="Spaces by document"), theme=theme, description="Spaces in each document")
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`toy(measure=..., chart=...)` installs a distribution of a measure and its chart, a file each."""

    def install(measure: str = TOY, chart: str = TOY_CHART, points: str = "toy_measure:MEASURE") -> None:
        folder = tmp_path / "site"
        information = folder / "toy-1.0.dist-info"
        information.mkdir(parents=True)
        (folder / "toy_measure.py").write_text(measure, encoding="utf-8")
        (folder / "toy_chart.py").write_text(chart, encoding="utf-8")
        (information / "METADATA").write_text("Name: toy\nVersion: 1.0\n", encoding="utf-8")
        (information / "entry_points.txt").write_text(
            f"[howfar.measures]\ntoy = {points}\n\n[howfar.charts]\ntoy = toy_chart:draw_toy\n", encoding="utf-8"
        )
        monkeypatch.syspath_prepend(folder)
        invalidate_caches()
        for name in ("toy_measure", "toy_chart"):
            monkeypatch.delitem(sys.modules, name, raising=False)

    yield install
    for name in ("toy_measure", "toy_chart"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_says_all_that_is_asked_of_it(name: str) -> None:
    measure = MEASURES[name]
    assert (measure.name, measure.question[-1]) == (name, "?")
    assert chart_of(measure) is not None
    assert measure.uses <= set(Inputs.__dataclass_fields__) | {"corpus"}
    if measure.matrix is not None:
        assert measure.value, "a matrix shows values"
    unit = measure.sample
    if unit:  # and the help names it
        assert SAMPLES.startswith("documents;") if unit == "documents" else f"{unit} in {name}" in SAMPLES


def test_choices_are_those_there_are() -> None:
    assert set(get_args(Target)) == set(TARGETS)


def test_a_declaration_that_says_neither_what_values_nor_what_rows_are_is_refused() -> None:
    options = {"name": "x", "question": "?", "run": lambda *_: pl.DataFrame(), "columns": ()}
    with pytest.raises(TypeError, match="says neither or both"):
        Measure(**options)
    with pytest.raises(TypeError, match="says neither or both"):
        Measure(**options, value="a", counts="b", rows="c")


@pytest.mark.parametrize("missing", ESTIMATE)
def test_a_table_without_a_column_of_an_estimate_is_refused(missing: str) -> None:
    table = pl.DataFrame({name: [None] for name in ESTIMATE if name != missing})
    options = {"name": "x", "question": "?", "run": lambda *_: table, "columns": (), "needs": ()}
    with pytest.raises(ConfigError, match=f"the table of x has no {missing}"):
        Measure(**options, value="a", counts="b").take(None, Inputs())
    assert Measure(**options, rows="anything").take(None, Inputs()).equals(table)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("boundary", "did you mean boundaries"),
        ("attentoin", "did you mean attention"),
        ("zzz", "choose from attention"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        measure_named(wrong)
    for helper in ("documents", "statistics", "boundaries.gaps", "declaration"):
        assert helper not in MEASURES


def test_a_measure_from_elsewhere_is_taken_drawn_and_reported(toy, run, model_folder: Path, tmp_path: Path) -> None:
    toy()
    texts = [f"Word{number} and a few more words" for number in range(3)]
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    options = ["toy", "--text", "text.txt", "--model", str(model_folder)]
    code, out, err = run("measure", *options, "-o", "toy.svg")
    assert (code, err) == (0, "")
    assert out.startswith("Spaces in a thousand characters")
    assert "Word2" in out
    svg = (tmp_path / "toy.svg").read_text(encoding="utf-8")
    assert "Spaces by document" in svg
    assert "text.txt · n = 1 documents · seed 0 · howfar" in svg
    code, out, err = run("measure", *options, "--json")
    assert [row["word"] for row in json.loads(out)] == ["Word0", "Word1", "Word2"]
    assert "toy" in run("measure")[1]
    code, _, err = run("report", str(model_folder), "--text", "text.txt", "--measure", "toy", "-o", "report.html")
    assert (code, err) == (0, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How many of a thousand characters are spaces?" in page
    assert page.count('<div class="chart"') == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measure": "import no_such_module"}, "cannot be loaded (No module named 'no_such_module')"),
        ({"points": "toy_measure:NONE"}, "cannot be loaded"),
        ({"points": "toy_measure:run"}, "is registered as a measure, but is <function run"),
        (
            {"measure": TOY.replace('name="toy"', 'name="other"')},
            "is registered as a measure, but is Measure(name='other'",
        ),
    ],
)
def test_a_measure_from_elsewhere_that_is_none_is_one_line(toy, run, change: dict[str, str], said: str) -> None:
    toy(**change)
    code, _, err = run("measure", "toy")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
