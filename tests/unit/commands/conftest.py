from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from howfar import cli
from howfar.models.configuration import HowFarConfig
from howfar.models.loading import save
from howfar.models.modeling import HowFarForCausalLM
from support.copying import copying_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with strongly varying increments."""
    torch.manual_seed(0)
    config = HowFarConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
        increments={"start": "random"},
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(HowFarForCausalLM(config).eval(), folder)
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with plain positions."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    save(copying_model(increments=None), folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in an empty folder; gives the exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["howfar", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run
