"""Transformers' Auto classes know this package's models as soon as it is imported, which imports no other package."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from howfar.models.bundled import FOLDER
from howfar.models.loading import load, save
from howfar.positions import attach
from support.grafts import make_base

RUN = FOLDER / "bilingual-shared"
LOAD = f"""
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
assert AutoTokenizer.from_pretrained({str(RUN)!r})("é")["input_ids"] == list("é".encode())
for folder in ({str(RUN)!r}, sys.argv[1]):
    print(type(AutoConfig.from_pretrained(folder)).__name__)
    model = AutoModelForCausalLM.from_pretrained(folder)
    print(type(model).__name__)
    with torch.no_grad():
        print(model(torch.arange(3, 23)[None]).logits.double().sum().item())
    try:
        AutoModel.from_pretrained(folder)
    except ValueError as error:
        print("refused" if "without its output layer" in str(error) else error)
"""


@pytest.fixture(scope="module")
def graft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("graft")
    model = load(make_base(place / "base"))
    attach(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "increments" in name:
                parameter.add_(torch.randn_like(parameter))
    save(model, place / "graft")
    return place / "graft"


@torch.no_grad()
def total(folder: Path) -> str:
    return str(load(folder, dtype="auto")(torch.arange(3, 23)[None]).logits.double().sum().item())


@pytest.mark.parametrize(
    "before",
    [
        "import howfar, sys; assert not {'torch', 'transformers'} & set(sys.modules)",
        "import sys; from transformers import AutoModelForCausalLM; import howfar",
        "import howfar, sys; import transformers.generation.utils, transformers.trainer",
    ],
)
def test_the_auto_classes_load_a_run_and_a_graft(graft: Path, before: str) -> None:
    command = [sys.executable, "-c", before + LOAD, str(graft)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split() == [
        *("HowFarConfig", "HowFarForCausalLM", total(RUN), "refused"),
        *("HowFarGraftConfig", "LlamaForCausalLM", total(graft), "refused"),
    ]
