"""Transformers' Auto classes know a model from scratch as soon as this package is imported, which imports neither."""

import subprocess
import sys

import pytest

from howfar.models.bundled import FOLDER

RUN = FOLDER / "bilingual-shared"
LOAD = f"""
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
assert AutoTokenizer.from_pretrained({str(RUN)!r})("é")["input_ids"] == list("é".encode())
print(type(AutoConfig.from_pretrained({str(RUN)!r})).__name__)
print(type(AutoModelForCausalLM.from_pretrained({str(RUN)!r})).__name__)
"""


@pytest.mark.parametrize(
    "before",
    [
        "import howfar, sys; assert not {'torch', 'transformers'} & set(sys.modules)",
        "from transformers import AutoModelForCausalLM; import howfar",
        "import howfar; import transformers.generation.utils, transformers.trainer",
    ],
)
def test_the_auto_classes_load_a_run(before: str) -> None:
    result = subprocess.run([sys.executable, "-c", before + LOAD], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split() == ["HowFarConfig", "HowFarForCausalLM"]
