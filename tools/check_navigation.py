"""Makes sure that every page of the documentation is in the site's navigation, and every entry a page."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def entries(navigation: Any) -> set[str]:
    """All pages that a navigation names."""
    if isinstance(navigation, str):
        return {navigation}
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return {page for part in parts for page in entries(part)}


def main() -> None:
    """Compare, and say what is missing."""
    listed = entries(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    for page in sorted(there - listed):
        print(f"docs/{page} is not in the navigation; add it to zensical.toml", file=sys.stderr)
    for page in sorted(listed - there):
        print(f"zensical.toml names docs/{page}, which does not exist; remove it", file=sys.stderr)
    sys.exit(1 if there != listed else 0)


if __name__ == "__main__":
    main()
