"""Sentences that a model has seen are dropped, however short they are."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[3] / "tools" / "drop_seen.py"


def test_a_sentence_shorter_than_a_run_is_dropped_if_the_text_has_it(tmp_path: Path) -> None:
    (tmp_path / "gold.txt").write_text("他 来\n她 来\n" + "我 们 都 在 看 书\n", encoding="utf-8")
    (tmp_path / "text.txt").write_text("昨天他来了。我们都在看电视。\n", encoding="utf-8")
    command = [sys.executable, str(TOOL), "gold.txt", "text.txt", "--run", "5"]
    kept = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True).stdout
    assert kept == "她 来\n"
