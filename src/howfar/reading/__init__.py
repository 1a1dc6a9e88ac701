"""Read texts through a model, and trace what it does with a text, token by token.

Read in this order: `windows` (what a model reads at once), `readings` (the results), `reader` (the one object
that reads), below it `head` and `watch` (logits in stretches, attention and residuals), above it `following`;
`result` (what a trace holds), `run` (how a trace is made), `files`.
"""

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.reading.result import Trace, Unit
    from howfar.reading.run import trace, trace_many

__all__ = ["Trace", "Unit", "trace", "trace_many"]

__getattr__, __dir__ = lazily(__name__, {"result": ("Trace", "Unit"), "run": ("trace", "trace_many")})
