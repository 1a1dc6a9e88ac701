"""The page on grafts names the architectures that are tested, all of them and no others."""

import re
from pathlib import Path

from support.models import ARCHITECTURES

PAGE = Path(__file__).parents[2] / "docs" / "grafting.md"


def test_the_table_is_what_is_tested() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("`model_type` |\n")[2].partition("\n\n")[0]
    tested = {str(options.get("model_type", name)) for name, options in ARCHITECTURES.items()}
    assert set(re.findall(r"`([\w-]+)`", table)) == tested
