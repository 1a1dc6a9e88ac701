from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest

from howfar.corpus.corpus import Corpus
from howfar.training.recipe import Recipe
from support.training import INCREMENTS, MODEL, TRAINER, make_corpus


@pytest.fixture(autouse=True)
def without_shape_checks() -> Iterator[None]:
    """Training runs as its users run it: bad input reaches its own checks, and compiling sees plain functions."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twenty documents of random words, and four held out."""
    return make_corpus(tmp_path_factory.mktemp("text") / "first")


@pytest.fixture(scope="session")
def other_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("text") / "second", seed=1)


@pytest.fixture
def recipe(corpus: Corpus) -> Callable[..., Recipe]:
    """Make the recipe of a tiny run; `trainer` options are added to the usual ones, other values replace them."""

    def make(*, trainer: dict[str, Any] | None = None, **values: Any) -> Recipe:
        usual = {"name": "tiny", "corpus": str(corpus.folder), "model": MODEL, "increments": INCREMENTS}
        return Recipe(**{**usual, **values}, trainer={**TRAINER, **(trainer or {})})

    return make
