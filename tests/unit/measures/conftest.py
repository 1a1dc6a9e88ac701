from collections.abc import Callable
from pathlib import Path

import pytest

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """`make_corpus(en=(training documents, held-out documents), ...)`"""

    def make(**sources: tuple[list[str], list[str]]) -> Corpus:
        parsed = []
        for name, parts in sources.items():
            paths = [tmp_path / f"{name}_{split}.txt" for split in ("train", "held_out")]
            for path, documents in zip(paths, parts, strict=True):
                path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
            parsed.append(parse_source(f"{name}={paths[0]},held_out={paths[1]}"))
        return build_corpus(tmp_path / "corpus", parsed, BuildOptions(balance="none"), progress=False)

    return make
