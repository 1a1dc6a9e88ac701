"""The versions of constraints.txt can be installed with every Python that pyproject.toml allows."""

import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[3]


def test_versions_run_on_the_lowest_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = min(Version(bound.version) for bound in SpecifierSet(project["requires-python"]))
    unfit, num_checked = [], 0
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        try:
            installed = metadata(requirement.name)
        except PackageNotFoundError:
            continue
        if Version(installed["Version"]) not in requirement.specifier:
            continue  # another version is installed, whose needs say nothing
        num_checked += 1
        if lowest not in SpecifierSet(installed.get("Requires-Python") or ""):
            unfit.append(f"{requirement} needs Python {installed['Requires-Python']}")
    if not num_checked:
        pytest.skip("installed without constraints.txt")
    assert not unfit
