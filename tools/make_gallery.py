"""Draws the gallery by the commands that stand in it: `python tools/make_gallery.py` writes `docs/gallery/`."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from howfar.cli import app

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = re.compile(r"^```bash\nhowfar (show .+)\n```$", re.M)


def main() -> None:
    """Run every command of the page in the gallery's folder."""
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    commands = COMMAND.findall((DOCS / "gallery.md").read_text(encoding="utf-8"))
    os.chdir(folder)
    for command in commands:
        app(shlex.split(command), standalone_mode=False)
    print(f"{len(commands)} pictures in {folder}")


if __name__ == "__main__":
    main()
