"""Draw a picture in a process beside this one, which gets ready for it while a model is loaded and reads."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from howfar.errors import HowFarError
from howfar.imports import imports_for_good

if TYPE_CHECKING:
    from howfar.tracing import Trace

Render = Callable[..., bytes]
"""`render(trace, **options)` gives a file's content; the options are those of `howfar.spacing`."""


@contextmanager
def drawing_beside(format: str) -> Iterator[Render]:
    """Start a process that draws one picture of spacing.

    What drawing needs takes seconds to load, and so do models; beside each other, they take half of that.

    Args:
        format: `"html"`, `"svg"`, `"png"` or `"pdf"`.

    Yields:
        What draws the picture; it raises what `howfar.spacing` and `Picture.render` do.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_draw_one, args=(there, format), daemon=True)
    process.start()
    there.close()

    def render(trace: Trace, **options: Any) -> bytes:
        try:
            here.send((trace, options))
            content: bytes | HowFarError = here.recv()
        except (EOFError, OSError):  # it did not live, for want of memory perhaps
            return draw(trace, format, options)
        if isinstance(content, HowFarError):
            raise content
        return content

    try:
        yield render
    finally:
        process.kill()
        process.join()
        here.close()


def draw(trace: Trace, format: str, options: dict[str, Any]) -> bytes:
    """Give the content of a file with a picture of spacing."""
    from howfar.charts.spacing import spacing

    return spacing(trace, **options).render(format)


def _draw_one(connection: Connection, format: str) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    _get_ready(format)
    try:
        trace, options = connection.recv()
    except EOFError:  # nothing is to be drawn
        return
    try:
        content = draw(trace, format, options)
    except HowFarError as error:
        connection.send(error)
    except Exception:  # a defect: whoever started it draws instead, and says so
        return
    else:
        connection.send(content)


def _get_ready(format: str) -> None:
    """Load what drawing needs."""
    with imports_for_good():
        import altair  # noqa: F401
        import regex  # noqa: F401
        import scipy.optimize  # noqa: F401
        import vl_convert

        from howfar.charts import page, spacing  # noqa: F401

    if format == "html":
        page.library()
    else:
        vl_convert.vegalite_to_vega({"mark": "point"})  # starts the engine
