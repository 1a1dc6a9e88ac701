"""What measures declare: it is complete, true of their tables, and enough for one from elsewhere."""

import json
import re
import sys
import tomllib
from collections.abc import Callable
from importlib import invalidate_caches
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from howfar import load, trace
from howfar.charts.measured import chart_of
from howfar.commands.measure import SAMPLES
from howfar.errors import ConfigError
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.choices import Target
from howfar.measures.declaration import ESTIMATE, Measure
from howfar.measures.inputs import Inputs
from howfar.measures.registry import MEASURES, measure_named

PAGES = Path(__file__).parents[3] / "docs" / "contributing"


def code(page: str, language: str = "python") -> str:
    """The first piece of code of a page of the documentation, which this test keeps true."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


MEASURE, CHART, POINTS = code("measure.md"), code("chart.md"), code("measure.md", "toml")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`toy(measure=..., chart=...)` installs another distribution: a measure and its chart, a file each."""

    def install(measure: str = MEASURE, chart: str = CHART, named: str = "spaces_measure:MEASURE") -> None:
        folder = tmp_path / "site"
        information = folder / "spaces-1.0.dist-info"
        information.mkdir(parents=True)
        (folder / "spaces_measure.py").write_text(measure, encoding="utf-8")
        (folder / "spaces_chart.py").write_text(chart, encoding="utf-8")
        (information / "METADATA").write_text("Name: spaces\nVersion: 1.0\n", encoding="utf-8")
        groups = tomllib.loads(POINTS)["project"]["entry-points"]
        groups["howfar.measures"]["spaces"] = named
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in groups.items()]
        (information / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(folder)
        invalidate_caches()
        for name in ("spaces_measure", "spaces_chart"):
            monkeypatch.delitem(sys.modules, name, raising=False)

    yield install
    for name in ("spaces_measure", "spaces_chart"):
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
        usual, *others = SAMPLES.split("; ")
        units = {
            of: what for part in others for what, _, names in [part.partition(" in ")] for of in names.split(" and ")
        }
        assert units.get(name, usual) == unit


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
    texts = [f"Word{number} and a few more words" for number in range(12)]
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    options = ["spaces", "--text", "text.txt", "--model", str(model_folder)]
    code, out, err = run("measure", *options, "-o", "spaces.svg")
    assert (code, err) == (0, "")
    assert out.startswith("Share of the length at spaces; ±: 95% interval")
    assert "layer 0" in out
    svg = (tmp_path / "spaces.svg").read_text(encoding="utf-8")
    assert "Share of the length at spaces" in svg
    assert "text.txt · n = 12 documents · seed 0 · howfar" in svg

    rows = json.loads(run("measure", *options, "--json")[1])
    traces = [trace(load(str(model_folder)), text) for text in texts]
    at_spaces = sum(own.increments[0][:, own.token_ids == ord(" ")].sum() for own in traces)
    assert rows[0]["value"] == pytest.approx(at_spaces / sum(own.increments[0].sum() for own in traces), rel=1e-5)
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"]
    assert run("measure", *options, "--csv")[1].startswith("layer,value,low,high,n,note")

    assert "spaces" in run("measure")[1]
    code, _, err = run("report", str(model_folder), "--text", "text.txt", "--measure", "spaces", "-o", "report.html")
    assert (code, err) == (0, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What share of a text&#39;s length lies at its spaces?" in page
    assert page.count('<div class="chart"') == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measure": "import no_such_module"}, "cannot be loaded (No module named 'no_such_module')"),
        ({"named": "spaces_measure:NONE"}, "cannot be loaded"),
        ({"named": "spaces_measure:spaces"}, "is registered as a measure, but is <function spaces"),
        (
            {"measure": MEASURE.replace('name="spaces"', 'name="other"')},
            "is registered as a measure, but is Measure(name='other'",
        ),
    ],
)
def test_a_measure_from_elsewhere_that_is_none_is_one_line(toy, run, change: dict[str, str], said: str) -> None:
    toy(**change)
    code, _, err = run("measure", "spaces")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
