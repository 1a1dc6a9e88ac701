"""The Reader: bounded memory, marks, models that it refuses, and wrapped models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import howfar
from howfar.corpus.encoding import DocumentEncoder
from howfar.errors import CheckpointError, TextError, UnsupportedModelError
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading import reader as reading_module
from howfar.reading import trace
from howfar.reading.head import surprisal_and_entropy
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.marks import document_mark
from howfar.text.tokenizer import END_OF_DOCUMENT, byte_tokenizer
from support.models import stir, tiny, tokens
from support.threads import in_threads

TinyModel = Callable[..., HowFarForCausalLM]
SIZE: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


def sizes_of_logits(model: nn.Module) -> list[int]:
    """Filled with how many logits are made at a time."""
    sizes: list[int] = []
    output: Any = model.get_output_embeddings()  # type: ignore[operator]
    output.register_forward_hook(lambda module, args, logits: sizes.append(logits.numel()))
    return sizes


def test_a_large_vocabulary_takes_no_more_memory_than_a_small_one() -> None:
    model = LlamaForCausalLM(LlamaConfig(**{**SIZE, "vocab_size": 2**18, "max_position_embeddings": 512})).eval()
    sizes = sizes_of_logits(model)
    reading = Reader(model).read_together([Window(0, np.arange(300))], "losses")
    assert reading.surprisal_nats.shape == (1, 300)
    assert max(sizes) <= reading_module.MAX_SLICE
    assert sum(sizes) == 300 * 2**18


def test_no_logits_are_made_where_none_are_needed(tiny_model: TinyModel) -> None:
    model = tiny_model()
    sizes = sizes_of_logits(model)
    reader = Reader(model)
    window = Window(0, np.arange(20))
    reader.read_together([window], "increments", "positions", "residuals", "attention")
    assert sizes == []
    reader.read_together([window], predict_at=[4])
    assert sizes == [257]


def test_a_pass_can_end_at_a_layer(tiny_model: TinyModel) -> None:
    model = tiny_model()
    ran: list[int] = []
    for number, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    reader, window = Reader(model), Window(0, np.arange(20))
    found = reader.read_together([window], "increments", until=1)
    assert ran == [0]
    whole = reader.read_together([window], "increments")
    assert torch.equal(found.increments[1], whole.increments[1])


def test_attention_is_kept_for_few_windows_at_a_time(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "MAX_WEIGHTS", 2 * 2 * 20**2 * 3)
    readings = list(Reader(tiny_model()).read([Window(i, np.arange(20)) for i in range(8)], "attention"))
    assert [len(reading.windows) for reading in readings] == [3, 3, 2]


def test_documents_without_text_cost_nothing(tiny_model: TinyModel) -> None:
    reader = Reader(tiny_model())
    documents = [np.array([END_OF_DOCUMENT]), np.array([END_OF_DOCUMENT, 97]), np.array([END_OF_DOCUMENT])]
    (_, none), (nats, one), _ = reader.nats_of(documents)
    assert (none, one) == (0, 1)
    assert nats > 0


@pytest.mark.parametrize("kind", [LlamaForSequenceClassification, LlamaForTokenClassification, LlamaModel])
def test_what_predicts_no_tokens_is_refused(kind: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=f"{kind.__name__} does not predict the next token of a text; load"):
        trace(kind(LlamaConfig(**SIZE)), "abc", byte_tokenizer())


@pytest.mark.parametrize("attached", [False, True])
def test_a_model_without_weights_is_refused(attached: bool) -> None:
    model = tiny().to("meta")
    if attached:
        howfar.attach(model)
    with pytest.raises(UnsupportedModelError, match=r"LlamaForCausalLM is on the meta device.*howfar\.load"):
        trace(model, "the cat", byte_tokenizer())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_adapters_are_read_and_virtual_tokens_refused() -> None:
    base = LlamaForCausalLM(LlamaConfig(**SIZE)).eval()
    plain = trace(base, "adapters", byte_tokenizer())
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj", "lm_head"], init_lora_weights=False)).eval()
    found = trace(adapted, "adapters", byte_tokenizer(), attention=True)
    with torch.no_grad():
        logits = adapted(input_ids=torch.tensor([[END_OF_DOCUMENT, *b"adapters"]])).logits[0]
    losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(list(b"adapters")), reduction="none")
    assert np.allclose(found.surprisal_nats, losses, atol=1e-5)
    assert not np.allclose(found.surprisal_nats, plain.surprisal_nats, atol=1e-5)
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    prompted = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZE)), prompt).eval()
    with pytest.raises(UnsupportedModelError, match="reads 12 tokens but was given 9, as adapters with virtual"):
        trace(prompted, "adapters", byte_tokenizer())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_a_folder_with_an_adapter_alone_is_told_from_a_model(tmp_path: Path) -> None:
    get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZE)), LoraConfig(target_modules=["q_proj"])).save_pretrained(
        tmp_path
    )
    with pytest.raises(CheckpointError, match="holds only a PEFT adapter, not a whole model; load its base model"):
        howfar.load(tmp_path)


def test_a_compiled_model_reads_as_it_does_uncompiled(tiny_model: TinyModel) -> None:
    model = tiny_model()
    compiled: Any = torch.compile(model, backend="eager")
    assert np.array_equal(trace(compiled, "abc", byte_tokenizer()).surprisal_nats, trace(model, "abc").surprisal_nats)


def test_the_mark_is_said_and_can_be_chosen(tiny_model: TinyModel) -> None:
    usual, other, same = (trace(tiny_model(), "abc", mark=mark) for mark in (None, ord("\n"), END_OF_DOCUMENT))
    assert (usual.mark, other.mark) == (END_OF_DOCUMENT, ord("\n"))
    assert not np.allclose(usual.surprisal_nats, other.surprisal_nats)
    assert np.array_equal(usual.surprisal_nats, same.surprisal_nats)


def test_a_mark_that_a_tokenizer_lacks_is_refused(subword_tokenizer: PreTrainedTokenizerFast) -> None:
    end = subword_tokenizer.eos_token
    assert document_mark(subword_tokenizer, end) == document_mark(subword_tokenizer)
    for mark in ("<|nothing|>", len(subword_tokenizer), -1):
        with pytest.raises(TextError, match=r"the tokenizer has no token .* to begin a document with; choose one"):
            document_mark(subword_tokenizer, mark)


def test_a_special_token_in_a_text_is_plain_text_so_a_trace_has_the_loss_of_a_corpus(
    subword_tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = LlamaForCausalLM(LlamaConfig(**{**SIZE, "vocab_size": len(subword_tokenizer)})).eval()
    end = subword_tokenizer.eos_token
    for text in (f"{end}the cat", f"the{end}cat", end):
        traced = trace(model, text, subword_tokenizer)
        assert traced.token_ids.tolist() == DocumentEncoder(subword_tokenizer).encode(text.encode())[:-1].tolist()
        assert traced.text == "".join(unit.text for unit in traced.units) == text


def test_a_batch_has_no_more_windows_than_were_asked_for(tiny_model: TinyModel) -> None:
    reader = Reader(tiny_model(), context=64, batch_size=2)
    windows = [window for number in range(7) for window in reader.cover(np.arange(5), number)]
    assert [len(batch) for batch in reader.batches(windows)] == [2, 2, 2, 1]
    assert max(len(batch) for batch in reader.batches(windows, with_attention=True)) <= 2


def test_a_model_wrapped_for_several_devices_reads_as_it_does_alone(tiny_model: TinyModel) -> None:
    model = tiny_model()
    expected, found = howfar.trace(model, "two words"), howfar.trace(torch.nn.DataParallel(model), "two words")
    np.testing.assert_array_equal(found.surprisal_nats, expected.surprisal_nats)
    np.testing.assert_array_equal(found.increments, expected.increments)
    assert found.model_name == expected.model_name


def test_a_banned_token_has_no_part_in_the_entropy() -> None:
    logits = torch.randn(1, 3, 8)
    kept = surprisal_and_entropy(logits[..., 1:].clone(), torch.zeros(1, 3, dtype=torch.long))
    logits[..., 0] = -torch.inf
    found = surprisal_and_entropy(logits, torch.ones(1, 3, dtype=torch.long))
    torch.testing.assert_close(found, kept)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_increments_that_peft_trains_as_a_whole_are_read() -> None:
    model = tiny()
    howfar.attach(model, howfar.IncrementConfig(per_head=True))
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["increments"]))
    assert Reader(wrapped).num_heads == 2


@pytest.mark.parametrize("name", ["phi3-longrope", "llama-dynamic"])
def test_a_text_is_read_with_frequencies_of_its_own_length(name: str) -> None:
    model = tiny(name)
    reader = Reader(model, context=40, batch_size=3)
    documents = [np.arange(size) % 60 + 3 for size in (5, 30, 6, 30, 24, 7, 30, 30)]
    apart = [next(reader.nats_of([document]))[0] for document in documents]
    assert [nats for nats, _ in reader.nats_of(documents)] == pytest.approx(apart, rel=1e-6)
    windows = [window for document in documents for window in reader.cover(document)]
    lengths = [sorted(map(len, batch)) for batch in reader.batches(windows)]
    assert sorted(lengths) == [[5, 6, 7], [24], [30], [30, 30, 30]]
    with pytest.raises(UnsupportedModelError, match="one of 30 tokens is beside one of 5; read with"):
        reader.read_together(windows[:2], "losses")


LAYERED = {
    "sliding_attention": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    "full_attention": {"rope_type": "dynamic", "rope_theta": 1e5, "factor": 4.0},
}
CHANGING: dict[str, dict[str, Any]] = {
    "phi3-longrope": {},
    "llama-dynamic": {},
    "gemma3_text": {"rope_parameters": LAYERED, "max_position_embeddings": 8},
    "gemma2": {"rope_parameters": LAYERED["full_attention"], "max_position_embeddings": 8},
}
LENGTHS = (5, 30, 12, 24, 9, 30, 16)


def changing(name: str, *, attached: bool) -> PreTrainedModel:
    """A model whose frequencies change with the length of a text."""
    model = tiny(name, **CHANGING[name])
    if attached:
        stir(howfar.attach(model))
    return model


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("name", CHANGING)
def test_a_text_is_read_as_by_a_model_that_read_no_other(name: str, batch_size: int | None, attached: bool) -> None:
    model, documents = changing(name, attached=attached), [np.arange(size) % 60 + 3 for size in LENGTHS]
    alone = []
    for document in documents:
        reader = Reader(changing(name, attached=attached), context=40)
        (reading,) = reader.read(reader.cover(document), "losses", "residuals")
        alone.append((reading.surprisal_nats.sum().item(), reading.residuals[1].sum().item()))
    reader = Reader(model, context=40, batch_size=batch_size)
    for _ in range(2):
        assert [nats for nats, _ in reader.nats_of(documents)] == pytest.approx([one for one, _ in alone], rel=1e-6)
        for document, expected in zip(documents, alone, strict=True):
            (reading,) = reader.read(reader.cover(document), "losses", "residuals")
            found = reading.surprisal_nats.sum().item(), reading.residuals[1].sum().item()
            assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", CHANGING)
def test_reading_leaves_the_frequencies_of_the_latest_text(name: str) -> None:
    model, token_ids = changing(name, attached=True), tokens(20)
    expected = model(token_ids).logits
    reader = Reader(model, context=40)
    for size in (4, 40, 12):
        list(reader.nats_of([np.arange(size) + 3]))
        with torch.no_grad():
            assert torch.equal(model(token_ids[:, :12]).logits, changed(name, 20)(token_ids[:, :12]).logits)
    assert torch.equal(model(token_ids).logits, expected)


def changed(name: str, num_tokens: int) -> PreTrainedModel:
    """Such a model after a text of some length."""
    model = changing(name, attached=True)
    model(tokens(num_tokens))
    return model


@pytest.mark.parametrize("name", ["llama-dynamic", "gemma3_text"])
def test_threads_that_read_texts_of_different_lengths(name: str) -> None:
    model, documents = changing(name, attached=True), [np.arange(size) % 60 + 3 for size in (30, 12, 24, 9)]
    alone = [next(Reader(changing(name, attached=True), context=40).nats_of([one]))[0] for one in documents]

    def read(thread: int) -> float:
        return next(Reader(model, context=40).nats_of([documents[thread]]))[0]

    for found in in_threads(4, read, num_rounds=3):
        assert found == alone


def test_a_plain_model_is_read_inside_an_override_of_one_token(tiny_model: TinyModel) -> None:
    model = tiny_model(increments=None)

    def widen(layer: int, increments: torch.Tensor) -> torch.Tensor:
        increments[..., 10] = 5
        return increments

    with howfar.movable(model), howfar.override(model, widen):
        found = trace(model, "Two roads diverged in a yellow wood")
    assert (found.increments[:, 0, 9] == 5).all()
    assert found.increments.sum() == found.increments.size + 4 * len(found.increments)
