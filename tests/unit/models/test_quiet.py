"""Models load one at a time, and quietly in the thread that loads only."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaModel
from transformers.utils import logging as transformers_logging

from howfar.models.loading import load
from howfar.models.quiet import quiet_stderr
from support.grafts import make_base


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose output layer is its embedding."""
    return make_base(tmp_path_factory.mktemp("base") / "tied", tie_word_embeddings=True)


@pytest.fixture(autouse=True)
def _as_users_have_it() -> Iterator[None]:
    """Messages and progress bars are on."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_warning()
    transformers_logging.enable_progress_bar()
    yield
    transformers_logging.set_verbosity(level)
    if not bars:
        transformers_logging.disable_progress_bar()


class Pause:
    """Holds the thread that builds a model in the middle of it."""

    def __init__(self) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        self.thread = threading.get_ident()

    def __call__(self) -> None:
        if threading.get_ident() == self.thread:
            self.reached.set()
            assert self.goes_on.wait(60)


@pytest.fixture
def loading(tied: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], PreTrainedModel]]:
    """Loads the model in another thread, which stands still in the middle of it; called, lets it finish."""
    pause, build = Pause(), LlamaModel.__init__

    def build_slowly(self: LlamaModel, config: LlamaConfig) -> None:
        build(self, config)
        pause()

    def load_slowly() -> PreTrainedModel:
        pause.thread = threading.get_ident()
        return load(tied)

    monkeypatch.setattr(LlamaModel, "__init__", build_slowly)
    with ThreadPoolExecutor(1) as pool:
        result: Future[PreTrainedModel] = pool.submit(load_slowly)

        def finish() -> PreTrainedModel:
            pause.goes_on.set()
            return result.result(60)

        try:
            assert pause.reached.wait(60)
            yield finish
        finally:
            pause.goes_on.set()


def is_tied(model: PreTrainedModel) -> bool:
    return model.lm_head.weight is model.model.embed_tokens.weight


def test_a_second_load_waits_and_both_models_are_whole(loading: Callable[[], PreTrainedModel], tied: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(load, tied)
        try:
            with pytest.raises(TimeoutError):
                other.result(0.5)
        finally:
            mine = loading()
        theirs = other.result(60)
    assert is_tied(mine)
    assert is_tied(theirs)
    assert torch.equal(mine.lm_head.weight, theirs.lm_head.weight)
    assert torch.get_default_dtype() == torch.float32


def test_switches_of_transformers_stay_as_they_are(loading: Callable[[], PreTrainedModel]) -> None:
    assert transformers_logging.get_verbosity() == logging.WARNING
    assert transformers_logging.is_progress_bar_enabled()
    assert not are_progress_bars_disabled()
    assert isinstance(transformers_logging.tqdm([], disable=True), tqdm)
    loading()
    assert isinstance(transformers_logging.tqdm([], disable=True), tqdm)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_load_prints_nothing(tied: Path, capfd: pytest.CaptureFixture[str], dtype: torch.dtype | None) -> None:
    LlamaForCausalLM.from_pretrained(tied)
    assert "Loading weights" in capfd.readouterr().err  # as Transformers does
    load(tied, dtype=dtype)
    assert capfd.readouterr() == ("", "")


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_only_the_thread_that_loads_is_quiet(tied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, build = Heard(), LlamaModel.__init__

    def build_and_say_so(self: LlamaModel, config: LlamaConfig) -> None:
        transformers_logging.get_logger("transformers.made_up").warning("in the thread that loads")
        logging.getLogger("other").warning("of another library")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(transformers_logging.get_logger("transformers.made_up").warning, "in another").result()
        build(self, config)

    monkeypatch.setattr(LlamaModel, "__init__", build_and_say_so)
    loggers = [logging.getLogger("transformers"), logging.getLogger("other")]
    for logger in loggers:
        logger.addHandler(heard)
    try:
        load(tied)
        assert heard.messages == ["of another library", "in another"]
        loggers[0].warning("after it")
        assert heard.messages[2:] == ["after it"]
    finally:
        for logger in loggers:
            logger.removeHandler(heard)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_default_type_is_that_of_before(tied: Path, dtype: torch.dtype) -> None:
    model = load(tied, dtype=dtype)
    assert model.dtype == dtype
    assert torch.get_default_dtype() == torch.float32


def test_only_one_thread_writes_nothing_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with quiet_stderr(), ThreadPoolExecutor(1) as pool:
        print("mine", file=sys.stderr)
        list(tqdm(range(3)))
        pool.submit(print, "another's", file=sys.stderr).result()
    assert sys.stderr is before
    print("after", file=sys.stderr)
    assert capsys.readouterr().err == "another's\nafter\n"
