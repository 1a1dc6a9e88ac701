"""The guide to measures lists them all, with their own questions."""

import re
from pathlib import Path

from howfar.measures.registry import MEASURES

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "measure.md"


def test_the_guide_asks_what_the_measures_ask() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", GUIDE.read_text(encoding="utf-8"), re.M)
    assert {name: question for name, question, _ in rows} == {
        name: measure.question for name, measure in MEASURES.items()
    }
    assert {name for name, _, needs in rows if not needs} == {name for name in MEASURES if not MEASURES[name].needs}


def test_the_guide_names_the_measures_that_plain_models_have() -> None:
    named = GUIDE.read_text(encoding="utf-8").partition(" also work on plain models")[0].rpartition("\n\n")[2]
    plain = {name for name in MEASURES if MEASURES[name].of_plain}
    assert set(re.findall(r"`(\w+)`", named.rpartition(". ")[2])) == plain
