"""Before any test: shapes and types of the mechanism are checked where it is tested, and Transformers keeps quiet."""

import gc
import inspect
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, too

import jaxtyping

# Not in `config`, which checks what a user gives it by itself.
CHECKED = [
    "arguments",
    "attachment",
    "calls",
    "checkpointing",
    "clock",
    "decoder",
    "encodings.attending",
    "encodings.biased",
    "encodings.forget_gate",
    "encodings.per_head",
    "encodings.pope",
    "encodings.rotary",
    "encodings.sets",
    "encodings.table",
    "increments",
    "network",
    "observe",
    "padding",
    "base_positions",
    "layer_positions",
    "rotation",
]
jaxtyping.install_import_hook([f"howfar.positions.{name}" for name in CHECKED], "beartype.beartype")

SHAPES_CHECKED = (
    "tests/unit/positions",
    "tests/properties",
    "tests/parity/test_architectures.py",
    "tests/parity/test_encodings.py",
    "tests/parity/test_naive.py",
)

import hypothesis
import pytest
import torch
import transformers

from howfar.positions.decoder import _Watch

# Every torch function of a pass comes here; to check its arguments takes longer than all the rest.
_Watch.__torch_function__ = inspect.unwrap(_Watch.__torch_function__)

hypothesis.settings.register_profile("unhurried", deadline=None)  # machines are shared, and first calls import
hypothesis.settings.load_profile("unhurried")
torch.set_num_threads(1)  # tiny models are faster so, and parallel tests share the cores
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Of several processes each runs whole modules while it can, so that what a module's tests share is made once."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Elsewhere the checks would show nothing new, and a pass of a tiny model takes a third longer with them."""
    jaxtyping.config.update("jaxtyping_disable", not item.nodeid.startswith(SHAPES_CHECKED))


@pytest.fixture(autouse=True, scope="module")
def _quick_garbage_collection() -> None:
    """Leave out what has been imported: Trainer collects at each run, and a million objects take a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
