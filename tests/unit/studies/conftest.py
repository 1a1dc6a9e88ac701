import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

from howfar.corpus.corpus import Corpus
from support.training import INCREMENTS, MODEL, TRAINER, make_corpus

Write = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("text") / "first")


@pytest.fixture
def recipe(corpus: Corpus, tmp_path: Path) -> Path:
    """A recipe's file."""
    tables = {"model": MODEL, "increments": INCREMENTS, "trainer": TRAINER}
    lines = ['kind = "scratch"', 'name = "tiny"', f"corpus = {json.dumps(str(corpus.folder))}"]
    for name, values in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = tmp_path / "tiny.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def asked(recipe: Path) -> Write:
    """What a study asks for, as its file would."""

    def make(**values: Any) -> dict[str, Any]:
        return {"name": "tiny", "recipe": str(recipe), **values}

    return make


@pytest.fixture(autouse=True)
def without_shape_checks() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
