"""Parse Python in one thread at a time.

A visitor's page is parsed and run by a thread of its own, but Python 3.11 has one counter for the depth of all syntax
trees that are being built: two at once may end in `SystemError: AST constructor recursion depth mismatch`
(python/cpython#106905), and a visitor in front of an empty page.
"""

from __future__ import annotations

import ast
import threading
from functools import wraps
from typing import Any

_one_at_a_time = threading.RLock()  # reentrant, for what is collected during a parse may parse


def parse_one_at_a_time() -> None:
    """Let `ast.parse` be called from many threads; a second call changes nothing."""
    parse = ast.parse
    if getattr(parse, "one_at_a_time", False):
        return

    @wraps(parse)
    def one_at_a_time(*arguments: Any, **options: Any) -> Any:
        with _one_at_a_time:
            return parse(*arguments, **options)

    one_at_a_time.one_at_a_time = True  # type: ignore[attr-defined]
    ast.parse = one_at_a_time
