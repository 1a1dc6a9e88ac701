import ast
import gc
import sys
import threading
from pathlib import Path

import pytest

from howfar.explorer import notebook
from howfar.explorer.parsing import parse_one_at_a_time

SOURCE = Path(notebook.__file__).read_text(encoding="utf-8")


class Collected:
    """Garbage that gives other threads a turn when it is collected, in the middle of a parse."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(100))


@pytest.fixture
def busy(monkeypatch):
    """Threads change and garbage is collected as often as can be; the real `ast.parse` comes back afterwards."""
    monkeypatch.setattr(ast, "parse", ast.parse)
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


def test_many_threads_parse_the_page_at_once(busy):
    parse_one_at_a_time()
    errors, parsed = [], []

    def parse():
        for _ in range(40):
            _garbage = [Collected() for _ in range(20)]
            try:
                parsed.append(ast.parse(SOURCE, "notebook.py", "exec"))
            except SystemError as error:
                errors.append(error)

    threads = [threading.Thread(target=parse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {ast.dump(tree) for tree in parsed} == {ast.dump(ast.parse(SOURCE))}


def test_a_second_call_changes_nothing(monkeypatch):
    monkeypatch.setattr(ast, "parse", ast.parse)
    parse_one_at_a_time()
    once = ast.parse
    parse_one_at_a_time()
    assert ast.parse is once
