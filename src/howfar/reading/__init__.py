"""Traces: what a model did with a text, token by token.

Reads in this order: `result` (what a trace holds), `windows` (how a long text is cut), `reading` (one
forward pass, watched), `run` (how a trace is made), `files`.
"""

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.reading.result import Trace, Unit
    from howfar.reading.run import trace, trace_many

__all__ = ["Trace", "Unit", "trace", "trace_many"]

__getattr__, __dir__ = lazily(__name__, {"result": ("Trace", "Unit"), "run": ("trace", "trace_many")})
