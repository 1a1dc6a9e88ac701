"""Names that measures and the command line choose from; importing them costs nothing."""

from __future__ import annotations

from typing import Literal

Target = Literal["chinese-words", "words", "sentences", "delimiters"]
"""Boundaries to look for; `howfar.measures.boundaries.targets` says what each is."""

Language = Literal["en", "zh"]
"""Of the lists of entities that come with the package."""

Classes = Literal["text", "code"]
"""Classes of tokens; those of code need a model that reads bytes."""

ProbeKind = Literal["linear", "mlp"]
"""Probes of the residual stream."""
