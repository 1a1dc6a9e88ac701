"""Names that measures and the command line choose from; importing them is cheap."""

from __future__ import annotations

from typing import Literal

Target = Literal["chinese-words", "words", "sentences", "delimiters"]
"""Boundaries to look for, as defined in `howfar.measures.boundaries.targets`."""

Language = Literal["en", "zh"]
"""Languages of the bundled lists of entities."""

Classes = Literal["text", "code"]
"""Classes of tokens; those of code need a model that reads bytes."""

ProbeKind = Literal["linear", "mlp"]
"""Probes of the residual stream."""
