import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import howfar
from howfar import HowFarConfig, HowFarForCausalLM
from howfar.cli import app
from howfar.errors import NotMeasurableError
from howfar.reports.study import study_html
from howfar.studies.place import Place
from howfar.studies.runs import PlannedRun
from howfar.studies.study import Study
from support.training import INCREMENTS, MODEL, make_corpus


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two seeds with plain and with learned positions, as a study leaves them; and one that was not begun."""
    corpus = make_corpus(tmp_path / "text")
    runs = []
    for variant, increments in (("plain", None), ("learned", INCREMENTS)):
        for seed in (0, 1, 2):
            recipe = {"seed": seed, "corpus": str(corpus.folder), "increments": increments, "trainer": {"max_steps": 1}}
            chosen = {"recipe": variant, "seed": seed}
            runs.append(PlannedRun(f"{variant}{seed}", chosen, recipe, corpus.hash, f"order{seed}"))
    made = Study(Place(tmp_path / "study"), "tiny", runs, {})
    made.write()
    for run in runs:
        if run.recipe["seed"] == 2:
            continue
        torch.manual_seed(run.recipe["seed"])
        folder = Path(made.place.path("runs", run.id))
        folder.parent.mkdir(exist_ok=True)
        howfar.save(HowFarForCausalLM(HowFarConfig(**MODEL, increments=run.recipe["increments"])), folder)
        loss = {"nats_per_byte": 5.0 + run.recipe["seed"]}
        (folder / "result.json").write_text(json.dumps({"step": 1, "held_out": loss}))
    return made


def test_a_study_is_reported_seed_by_seed(study: Study, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told = CliRunner().invoke(app, ["report", study.place.location, "-o", str(page)], catch_exceptions=False)
    assert told.exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "6 runs: 4 finished, 2 waiting." in html
    pictures = re.findall(r"<figcaption>seed (\d)</figcaption><svg", html)
    assert pictures == ["0", "1"]  # plain positions have nothing to show
    assert "<h3>recipe learned</h3>" in html
    assert "documents" in html.partition("over pairs")[2]  # four held-out documents are too few, and it says so
    for state in study.states()[:2]:
        assert state.run.id in html


def test_a_study_without_finished_runs_has_no_report(study: Study) -> None:
    shutil.rmtree(study.place.path("runs"))
    with pytest.raises(NotMeasurableError, match="no run of tiny is finished; go on with the study first"):
        study_html(study, "A text.")
