"""The page of all architectures is of the version that is installed with the constraints, and says what is so."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import transformers

from support.models import ARCHITECTURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "architectures.md").read_text(encoding="utf-8")
VERSION = re.findall(r"^transformers==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[0]
ATTACHED, REFUSED = PAGE.partition("## Not built")[0].split("## Refused")


def names(part: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", part))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("try_architectures", ROOT / "tools" / "try_architectures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_it_is_of_the_version_of_the_constraints_and_has_the_tested_types() -> None:
    assert f"Transformers {VERSION}," in PAGE
    tested = {str(options.get("model_type", name)) for name, options in ARCHITECTURES.items()}
    assert tested <= names(ATTACHED)


@pytest.mark.skipif(transformers.__version__ != VERSION, reason=f"the page is of Transformers {VERSION}")
@pytest.mark.parametrize("model_type", ["qwen3", "gptj", "mamba"])
def test_a_type_that_is_tried_again_stands_there(tool: ModuleType, model_type: str) -> None:
    verdict = tool.attempt(model_type)
    assert not verdict.built
    if verdict.refused:
        row = next(line for line in REFUSED.splitlines() if f"`{model_type}`" in line)
        assert row.startswith(f"| {verdict.refused} |")
    else:
        assert f"| `{model_type}` | yes | yes |" in ATTACHED
