"""Read texts through a model, and trace what it does with a text, token by token.

Read the modules in this order: `windows` (what a model reads at once), `readings` (the results) and `reader` (the one
object that reads). Below the reader are `head` (logits, a slice of tokens at a time), `watch` (attention and residuals)
and `workers` (reading by several processes, which load the model by `same`). Above it are `following` (candidate next
tokens), `result` (a trace), `run` (how a trace is made) and `files`.
"""

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.reading.result import Trace, Unit
    from howfar.reading.run import trace, trace_many

__all__ = ["Trace", "Unit", "trace", "trace_many"]

__getattr__, __dir__ = lazily(__name__, {"result": ("Trace", "Unit"), "run": ("trace", "trace_many")})
