"""Draw a picture in a process beside this one, which gets ready for it while a model is loaded and reads."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from howfar.errors import HowFarError
from howfar.imports import imports_for_good

if TYPE_CHECKING:
    from howfar.reading import Trace

Begin = Callable[..., Callable[[], bytes]]
"""`begin(trace, **options)` begins to draw, by the options of `howfar.spacing`; what it gives waits for the file's
content."""


@contextmanager
def drawing_beside(format: str) -> Iterator[Begin]:
    """Start a process that draws one picture of spacing.

    What drawing needs takes seconds to load, and so do models; beside each other, they take half of that.

    Args:
        format: `"html"`, `"svg"`, `"png"` or `"pdf"`.

    Yields:
        What begins to draw the picture. What that gives raises what `howfar.spacing` and `Picture.render` do.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_draw_one, args=(there, format), daemon=True)
    process.start()
    there.close()

    def begin(trace: Trace, **options: Any) -> Callable[[], bytes]:
        with suppress(OSError):  # then there will be no answer either
            here.send((trace, options))

        def finish() -> bytes:
            try:
                content: bytes | HowFarError = here.recv()
            except (EOFError, OSError):  # it did not live, for want of memory perhaps
                return draw(trace, format, options)
            if isinstance(content, HowFarError):
                raise content
            return content

        return finish

    try:
        yield begin
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
    rehearse(format)
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


def rehearse(format: str) -> None:
    """Draw the smallest picture, so that all that drawing needs is loaded."""
    with imports_for_good():
        import numpy as np

        from howfar.reading.result import Trace

        one, of_token = np.ones((1, 1, 1), np.float32), np.zeros(1, np.float32)
        trace = Trace(
            text="a",
            token_ids=np.zeros(1, np.int64),
            token_bytes=np.array([[0, 1]]),
            layers=(0,),
            increments=one,
            mark_increments=one[0],
            surprisal_nats=of_token,
            entropy_nats=of_token,
            config=None,
            model_name="none",
            context=2,
            overlap=1,
        )
        draw(trace, format, {})
