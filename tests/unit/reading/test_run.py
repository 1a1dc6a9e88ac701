from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import howfar
from howfar.errors import ConfigError, ModelNotFoundError, TextError, UnsupportedModelError
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import increments_of
from howfar.reading import trace, trace_many
from howfar.text.marks import document_mark
from howfar.text.tokenizer import byte_tokenizer

TinyModel = Callable[..., HowFarForCausalLM]
CONTEXT = 32
LONG = "All happy families are alike; 每個不幸的家庭各有各的不幸。 " * 8


def test_a_trace_holds_the_text_byte_by_byte(tiny_model: TinyModel) -> None:
    traced = trace(tiny_model(), "né")
    assert traced.text == "né"
    assert traced.token_ids.tolist() == [ord("n"), 0xC3, 0xA9]
    assert traced.token_bytes.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert traced.layers == (0, 1)
    assert traced.increments.shape == traced.positions.shape == (2, 1, 3)
    assert traced.mark_increments.shape == (2, 1)
    assert traced.surprisal_nats.dtype == traced.entropy_nats.dtype == traced.increments.dtype == np.float32
    assert (traced.surprisal_nats > 0).all()
    assert (traced.entropy_nats > 0).all()
    assert (traced.context, traced.overlap) == (CONTEXT, CONTEXT // 6)
    assert traced.increments.std() > 0


def test_the_public_name_is_the_function() -> None:
    assert howfar.trace is trace


def test_plain_rotary_positions_advance_by_one(tiny_model: TinyModel) -> None:
    traced = trace(tiny_model(None), LONG)
    assert traced.config is None
    assert (traced.increments == 1).all()
    assert np.array_equal(traced.positions[1, 0], np.arange(1, len(traced) + 1))


@pytest.mark.parametrize(
    ("increments", "shape"),
    [({"scope": "shared"}, (2, 1)), ({"per_head": True}, (2, 2)), ({"scope": "shared", "per_head": True}, (2, 2))],
)
def test_all_scopes_have_layers_and_heads(tiny_model: TinyModel, increments: dict, shape: tuple[int, int]) -> None:
    traced = trace(tiny_model(increments), "abc")
    assert traced.increments.shape == (*shape, 3)
    assert np.array_equal(traced.increments[0], traced.increments[1]) == ("scope" in increments)


def test_positions_are_distances_from_the_document_mark(tiny_model: TinyModel) -> None:
    before = trace(tiny_model({"advance": "before"}), "abc")
    assert np.allclose(before.positions, before.increments.cumsum(axis=-1))
    after = trace(tiny_model({"advance": "after"}), "abc")
    steps = np.concatenate([after.mark_increments[..., None], after.increments[..., :2]], axis=-1)
    assert np.allclose(after.positions, steps.cumsum(axis=-1))
    placed = trace(tiny_model({"accumulate": False, "bound": "signed"}), "abc")
    assert np.array_equal(placed.positions, placed.increments)


@pytest.mark.parametrize(
    "text",
    ["\0", "a\0b", "👩‍🔬", "e\u0301\u0302", "שָׁלוֹם مرحبا", "\r\n\t", "𠮷野家", "<|endofdocument|>"],
)
def test_any_characters_can_be_traced(tiny_model: TinyModel, text: str) -> None:
    traced = trace(tiny_model(), text)
    assert bytes(traced.token_ids.astype(np.uint8)) == text.encode()
    assert [unit.text for unit in traced.units] == list(text)


def test_overrides_are_traced(tiny_model: TinyModel) -> None:
    model = tiny_model()
    with howfar.override(model, lambda layer, increments: torch.full_like(increments, 2.0 + layer)):
        traced = trace(model, "abc")
    assert traced.increments[:, 0].tolist() == [[2, 2, 2], [3, 3, 3]]


def test_a_half_precision_model_is_scored_in_float32(tiny_model: TinyModel) -> None:
    exact, rounded = trace(tiny_model(), LONG), trace(tiny_model().bfloat16(), LONG)
    assert rounded.surprisal_nats.dtype == np.float32
    assert not np.array_equal(exact.surprisal_nats, rounded.surprisal_nats)
    assert abs(exact.surprisal_nats.mean() - rounded.surprisal_nats.mean()) < 0.1


def test_the_model_is_left_as_it_was(tiny_model: TinyModel) -> None:
    model = tiny_model().train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    trace(model, "abc", attention=True)
    assert [module.training for module in model.modules()] == before
    assert not increments_of(model).is_observed
    assert model.config._attn_implementation == "sdpa"
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_a_failing_pass_leaves_the_model_as_it_was(tiny_model: TinyModel) -> None:
    model = tiny_model().train()
    model.lm_head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trace(model, "abc", attention=True)
    assert model.training
    assert not increments_of(model).is_observed


def test_dropout_does_not_disturb_a_trace(tiny_model: TinyModel) -> None:
    model = tiny_model(attention_dropout=0.5)
    assert np.array_equal(trace(model, LONG).surprisal_nats, trace(model.train(), LONG).surprisal_nats)


def test_the_text_fits_no_batch_at_once(tiny_model: TinyModel) -> None:
    model = tiny_model()
    sizes = []
    model.lm_head.register_forward_hook(lambda module, args, output: sizes.append(output.shape[0] * output.shape[1]))
    traced = trace(model, LONG * 20, batch_size=3)
    assert len(traced) == len((LONG * 20).encode())
    assert max(sizes) == 3 * CONTEXT


def test_the_default_batch_is_bounded_by_its_logits(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("howfar.reading.reader.MAX_LOGITS", 257 * 2 * CONTEXT)
    model = tiny_model()
    sizes = []
    model.lm_head.register_forward_hook(lambda module, args, output: sizes.append(output.shape[0] * output.shape[1]))
    trace(model, LONG)
    assert max(sizes) == 2 * CONTEXT


def test_progress_counts_tokens(tiny_model: TinyModel) -> None:
    seen: list[tuple[int, int]] = []
    traced = trace(tiny_model(), LONG, batch_size=2, progress=lambda done, in_all: seen.append((done, in_all)))
    done = [number for number, _ in seen]
    assert len(done) > 3
    assert done == sorted(done)
    assert seen[-1] == (len(traced), len(traced))


@pytest.mark.parametrize("increments", [{}, {"per_head": True}, None])
def test_attention_says_what_each_token_reads(tiny_model: TinyModel, increments: dict | None) -> None:
    model = tiny_model(increments)
    traced = trace(model, "attention", attention=True)
    assert traced.attention is not None
    assert traced.attention.shape == (2, 2, 10, 10)
    assert np.allclose(traced.attention.sum(axis=-1), 1, atol=1e-6)
    assert (np.triu(traced.attention, k=1) == 0).all()
    assert trace(model, "attention").attention is None


def test_attention_of_a_half_precision_model_is_float32(tiny_model: TinyModel) -> None:
    assert trace(tiny_model().half(), "ab", attention=True).attention.dtype == np.float32


def test_attention_is_for_one_window(tiny_model: TinyModel) -> None:
    model = tiny_model()
    assert trace(model, "x" * (CONTEXT - 1), attention=True).attention is not None
    with pytest.raises(TextError, match="has 32 tokens, but attention is kept for one window of at most 31"):
        trace(model, "x" * CONTEXT, attention=True)


def test_many_texts_come_back_in_order(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("howfar.reading.run.POOL", 1)
    model = tiny_model()
    texts = ["a", LONG, "bc" * 40, "d"] * 3
    taken = []

    def source() -> Iterator[str]:
        for text in texts:
            taken.append(text)
            yield text

    traces = trace_many(model, source(), batch_size=2)
    first = next(traces)
    assert first.text == "a"
    assert len(taken) == 2  # the second text fills a pool, so no third was asked for
    for traced, text in zip([first, *traces], texts, strict=True):
        alone = trace(model, text)
        assert traced.text == text
        assert np.allclose(traced.increments, alone.increments, atol=1e-5)
        assert np.allclose(traced.surprisal_nats, alone.surprisal_nats, atol=1e-5)


def test_no_texts_give_no_traces(tiny_model: TinyModel) -> None:
    assert list(trace_many(tiny_model(), [])) == []


def test_a_subword_model(subword_tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(subword_tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
    )
    model = LlamaForCausalLM(config)
    howfar.attach(model, howfar.IncrementConfig(start="random"))
    text = "the cat 👩 and the hat 猫 " * 5
    traced = trace(model, text, subword_tokenizer)
    assert len(traced) < len(text.encode())
    assert "".join(unit.text for unit in traced.units) == text
    assert {"the", " cat"} <= {unit.text for unit in traced.units} or len(traced.units) < len(text)
    assert next(unit for unit in traced.units if "👩" in unit.text).text == "👩"
    assert traced.model_name == "LlamaForCausalLM"
    with pytest.raises(ModelNotFoundError, match="its tokenizer is unknown"):
        trace(model, text)


def test_the_document_mark_is_what_begins_documents(subword_tokenizer: PreTrainedTokenizerFast) -> None:
    assert document_mark(byte_tokenizer()) == 256
    assert document_mark(subword_tokenizer) == subword_tokenizer.eos_token_id

    class WithBegin(PreTrainedTokenizerFast):
        def __call__(self, *args: object, **kwargs: object) -> object:
            return {"input_ids": [1, 5]}

    begins = WithBegin(tokenizer_object=subword_tokenizer.backend_tokenizer, bos_token="!", eos_token="<eos>")
    assert begins.bos_token_id == 1
    assert document_mark(begins) == 1
    without = PreTrainedTokenizerFast(tokenizer_object=subword_tokenizer.backend_tokenizer)
    with pytest.raises(TextError, match="set its eos_token"):
        document_mark(without)


def test_bad_texts_are_refused(tiny_model: TinyModel, subword_tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_model()
    with pytest.raises(TextError, match="the text is empty; give at least one character"):
        trace(model, "")
    with pytest.raises(TextError, match=r"lone surrogate \(U\+D800\) at character 2"):
        trace(model, "ab\ud800")
    with pytest.raises(TextError, match="the text is empty"):
        list(trace_many(model, ["a", ""]))
    with pytest.raises(TextError, match=r"token id 2\d\d, but the model knows ids up to 256; pass the model's own"):
        trace(model, "the the", subword_tokenizer)
    with pytest.raises(TextError, match="this is a list; give one string"):
        trace(model, ["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(TextError, match="this is one string; give a list, or use howfar"):
        list(trace_many(model, "two"))


@pytest.mark.parametrize(
    "call",
    [
        lambda name: howfar.trace(name, "text"),
        lambda name: list(howfar.trace_many(name, ["text"])),
        howfar.attach,
        howfar.detach,
        howfar.increments_of,
        howfar.tokenizer_of,
        lambda name: howfar.save(name, "folder"),
        lambda name: howfar.override(name, lambda layer, increments: increments).__enter__(),
        lambda name: howfar.record(name).__enter__(),
        lambda name: howfar.movable(name).__enter__(),
        howfar.merge_lora,
    ],
)
def test_a_models_name_is_not_a_model(call: Callable[[str], object]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"this is 'bilingual-rope'; load one with howfar\.load"):
        call("bilingual-rope")


@pytest.mark.parametrize(
    "options", [{"context": 1}, {"context": 0}, {"overlap": 0}, {"overlap": CONTEXT}, {"batch_size": 0}]
)
def test_impossible_windows_are_refused(tiny_model: TinyModel, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"it needs (a context of at least 2|at least 1 window)"):
        trace(tiny_model(), "abc", **options)


def test_a_model_without_rotary_positions_is_refused(subword_tokenizer: PreTrainedTokenizerFast) -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(UnsupportedModelError, match="GPT2LMHeadModel has no rotary positions"):
        trace(model, "abc", subword_tokenizer)
