"""The inputs of measures besides a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from howfar.corpus.corpus import Corpus
from howfar.measures.choices import Classes, Language, ProbeKind, Target
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    from howfar.measures.pairs.lists import Pair


_ALWAYS = {"seed", "origin", "gold_origin"}
"""Inputs that every measure has."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs of measures; each measure takes some of them."""

    texts: Corpus | Sequence[str] | None = None  # a corpus's held-out documents are read, its training part is counted
    gold: Iterable[Segmentation] | None = None  # texts with known boundaries; they may be iterated several times
    target: Target | None = None  # the boundaries to look for
    pairs: Sequence[Pair] | None = None  # entities of two words; None for the bundled list
    language: Language | None = None  # of that list
    classes: Classes | None = None  # classes of tokens
    probes: Sequence[ProbeKind] | None = None  # kinds of probes of the residual stream
    layers: Sequence[int] | None = None  # decoder layers whose increments are changed, one at a time; None for all
    training_length: int | None = None  # tokens in the windows of training; None for what the configuration says
    against: Sequence[str] | None = None  # names of models to compare the loss with
    sample: int | None = None  # sample size, in the measure's own unit; None for its default
    seed: int = 0  # for sampling and bootstrap intervals
    origin: str = ""  # where the texts were read from, in words; empty if unknown
    gold_origin: str = ""  # the same of the gold boundaries

    @property
    def given(self) -> set[str]:
        """Names of the given inputs; `corpus` if the texts are one; without `seed` and origins."""
        names = {field.name for field in fields(self) if getattr(self, field.name) is not None} - _ALWAYS
        return names if self.corpus is None else names - {"texts"} | {"corpus"}

    def only(self, names: set[str]) -> Inputs:
        """A copy with only the inputs of these names, the seed and the origins."""
        kept = {"texts" if name == "corpus" else name for name in self.given & names}
        return Inputs(**{name: getattr(self, name) for name in kept | _ALWAYS})

    @property
    def some_texts(self) -> Corpus | Sequence[str]:
        """The texts, for a measure that needs them."""
        assert self.texts is not None, "a measure's needs are checked before it is run"
        return self.texts

    def options(self, *names: str, sample: str = "") -> dict[str, Any]:
        """Keyword arguments: the seed, those of these inputs that are given, and the sample size by this name."""
        given = {name: getattr(self, name) for name in names} | ({sample: self.sample} if sample else {})
        return {"seed": self.seed} | {name: value for name, value in given.items() if value is not None}

    @property
    def corpus(self) -> Corpus | None:
        """The texts, if they are a corpus."""
        return self.texts if isinstance(self.texts, Corpus) else None
