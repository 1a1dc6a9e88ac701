"""Before any test: shapes and types of the mechanism are checked at every call, and Transformers keeps quiet."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jaxtyping

jaxtyping.install_import_hook("howfar.positions", "beartype.beartype")

import pytest
import torch
import transformers

torch.set_num_threads(1)  # tiny models are faster so, and parallel tests share the cores
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
