from pathlib import Path

import pytest

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source


def write_documents(path: Path, documents: list[str]) -> Path:
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two sources of four documents each, with a held-out document of either."""
    sources = []
    for name, letter in (("en", "a"), ("zh", "中")):
        train = write_documents(tmp_path / f"{name}.txt", [letter * length for length in (3, 5, 7, 9)])
        held_out = write_documents(tmp_path / f"{name}_dev.txt", [letter * 20])
        sources.append(parse_source(f"{name}={train},held_out={held_out}"))
    return build_corpus(tmp_path / "corpus", sources, BuildOptions(balance="documents"), progress=False)
