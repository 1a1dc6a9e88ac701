"""Reading texts through a model, and traces: what it did with a text, token by token.

Reads in this order: `windows` (what a model reads at once), `readings` (what comes of it), `reader` (the one object
that reads), with `head` and `watch` under it (logits in stretches, attention and residuals) and `following` on it;
`result` (what a trace holds), `run` (how a trace is made), `files`.
"""

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.reading.result import Trace, Unit
    from howfar.reading.run import trace, trace_many

__all__ = ["Trace", "Unit", "trace", "trace_many"]

__getattr__, __dir__ = lazily(__name__, {"result": ("Trace", "Unit"), "run": ("trace", "trace_many")})
