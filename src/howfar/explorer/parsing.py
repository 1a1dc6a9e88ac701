"""Build syntax trees in one thread at a time.

Each visitor's page is parsed and run in its own thread, but Python 3.11 has one counter for the depth of all syntax
trees under construction: two at once may end in `SystemError: AST constructor recursion depth mismatch`
(python/cpython#106905), and the visitor sees an empty page.
"""

# No `from __future__` here: compiled code inherits such features from the module that calls `compile`.
import builtins
import sys
import threading
from functools import wraps
from typing import Any

_one_at_a_time = threading.RLock()  # reentrant: garbage collection may compile too


def compile_one_at_a_time() -> None:
    """Let `compile`, which builds all trees, be called from many threads; Python 3.12 and later need nothing."""
    compile_ = builtins.compile
    if sys.version_info >= (3, 12) or hasattr(compile_, "one_at_a_time"):
        return

    @wraps(compile_)
    def one_at_a_time(*arguments: Any, **options: Any) -> Any:
        with _one_at_a_time:
            return compile_(*arguments, **options)

    one_at_a_time.one_at_a_time = True  # type: ignore[attr-defined]
    builtins.compile = one_at_a_time
