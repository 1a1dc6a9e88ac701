"""What a measure may be given besides a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from howfar.corpus.corpus import Corpus
from howfar.measures.choices import Classes, Language, ProbeKind, Target
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    from howfar.measures.pairs.lists import Pair


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a measure may be given; each takes some of it.

    Attributes:
        texts: A corpus, of which the held-out documents are read (and the training part is counted in), or texts.
        gold: Texts with known boundaries; they may be gone through several times.
        target: Which boundaries to look for.
        pairs: Entities of two words; None for the list that comes with the package.
        language: Of that list.
        classes: Classes of tokens.
        probes: Kinds of probes of the residual stream.
        against: Names of models to compare the loss with.
        sample: How much to measure on, in the measure's own unit; its default where None.
        seed: Random seed for sampling and bootstrap intervals.
        origin: Where the texts or the gold boundaries were read from, in words; empty where that is not known.
    """

    texts: Corpus | Sequence[str] | None = None
    gold: Iterable[Segmentation] | None = None
    target: Target | None = None
    pairs: Sequence[Pair] | None = None
    language: Language | None = None
    classes: Classes | None = None
    probes: Sequence[ProbeKind] | None = None
    against: Sequence[str] | None = None
    sample: int | None = None
    seed: int = 0
    origin: str = ""

    @property
    def given(self) -> set[str]:
        """Names of what was given; `corpus` if the texts are one; `seed` and `origin`, which always are, left out."""
        names = {field.name for field in fields(self) if getattr(self, field.name) is not None} - {"seed", "origin"}
        return names if self.corpus is None else names - {"texts"} | {"corpus"}

    def only(self, names: set[str]) -> Inputs:
        """Those of them that have one of these names; and the seed and the origin."""
        kept = {"texts" if name == "corpus" else name for name in self.given & names}
        return Inputs(**{name: getattr(self, name) for name in kept}, seed=self.seed, origin=self.origin)

    @property
    def some_texts(self) -> Corpus | Sequence[str]:
        """The texts, for a measure that needs some."""
        assert self.texts is not None, "a measure's needs are checked before it is run"
        return self.texts

    def sized(self, name: str) -> dict[str, Any]:
        """The size of the sample as a keyword argument of this name; nothing where none was chosen."""
        return {} if self.sample is None else {name: self.sample}

    @property
    def corpus(self) -> Corpus | None:
        """The texts, if they are a corpus."""
        return self.texts if isinstance(self.texts, Corpus) else None
