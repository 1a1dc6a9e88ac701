import ast
import builtins
import gc
import sys
import threading
from pathlib import Path

import pytest

from howfar.explorer import notebook
from howfar.explorer.parsing import compile_one_at_a_time

SOURCE = Path(notebook.__file__).read_text(encoding="utf-8")


class Collected:
    """Garbage that gives other threads a turn when it is collected, in the middle of a parse."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(100))


@pytest.fixture
def busy(monkeypatch):
    """Threads change and garbage is collected as often as can be; the real `compile` comes back afterwards."""
    monkeypatch.setattr(builtins, "compile", compile)
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


def test_many_threads_parse_the_page_at_once(busy):
    compile_one_at_a_time()
    errors, parsed = [], []

    def parse():
        for _ in range(40):
            _garbage = [Collected() for _ in range(20)]
            try:
                parsed.append(ast.parse(SOURCE))
                parsed.append(compile(SOURCE, "notebook.py", "exec", ast.PyCF_ONLY_AST))
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
    monkeypatch.setattr(builtins, "compile", compile)
    compile_one_at_a_time()
    once = builtins.compile
    compile_one_at_a_time()
    assert builtins.compile is once


def test_what_is_compiled_inherits_no_feature(monkeypatch):
    monkeypatch.setattr(builtins, "compile", compile)
    compile_one_at_a_time()
    names = {}
    exec(compile("def f(x: int): pass", "", "exec"), names)
    assert names["f"].__annotations__ == {"x": int}
