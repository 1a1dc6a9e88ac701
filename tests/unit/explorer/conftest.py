import pytest
import torch

from howfar.explorer.inference import Inference
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

CONTEXT = 64


def save_model(path, **config):
    torch.manual_seed(0)
    options = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.4,
        "increments": {"start": "random"},
    }
    HowFarForCausalLM(HowFarConfig(**{**options, **config})).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "plain", increments=None)


@pytest.fixture
def inference(model_folder, plain_folder):
    return Inference({"tiny": model_folder, "plain": plain_folder})


@pytest.fixture(scope="session", params=["before", "after"])
def of_either_advance(request, tmp_path_factory):
    """A model's inference, whose increments count before or after their tokens."""
    folder = tmp_path_factory.mktemp("models") / request.param
    return Inference({"tiny": save_model(folder, increments={"start": "random", "advance": request.param})})
