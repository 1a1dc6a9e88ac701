import gc
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import howfar
from howfar.imports import imports_for_good, lazily

PACKAGES = ["howfar", "howfar.positions", "howfar.reading", "howfar.training"]


def test_packages_import_nothing_heavy():
    code = f"import sys, {', '.join(PACKAGES)}, howfar.positions.config, howfar.reading.result; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "altair", "polars", "scipy"} & set(result.stdout.split())


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_have_all_that_they_name(name: str):
    package = import_module(name)
    assert set(package.__all__) <= set(dir(package))
    for own in package.__all__:
        assert not isinstance(getattr(package, own), ModuleType)


def test_an_unknown_name_is_answered_with_those_there_are():
    fetch, _ = lazily("howfar", {"errors": ("HowFarError",)})
    assert fetch("HowFarError") is howfar.errors.HowFarError
    with pytest.raises(AttributeError, match="module 'howfar' has no attribute 'lod'; it has HowFarError"):
        fetch("lod")


def test_what_is_imported_for_good_is_never_looked_through(monkeypatch):
    before = gc.get_freeze_count()
    try:
        with imports_for_good():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
            monkeypatch.setitem(sys.modules, "imported_for_good", ModuleType("imported_for_good"))
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_where_nothing_is_imported_any_more_garbage_is_still_collected():
    before = gc.get_freeze_count()
    with imports_for_good():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() <= before
