"""`generate()` on a grafted model: every way of decoding gives what full forward passes give."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from howfar.models.loading import load, save
from howfar.models.lora import add_lora
from howfar.positions import IncrementConfig, attach
from support.grafts import make_base

PROMPT = torch.tensor([[5, 90, 200, 31, 7, 7, 150, 44]])
NEW = {"max_new_tokens": 12, "min_new_tokens": 12, "pad_token_id": 0}
SCOPES = ["shared", "per_layer"]


@pytest.fixture(scope="module", params=SCOPES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    """A graft with an adapter, as it is loaded from its folder; its increments are far from 1."""
    folder = tmp_path_factory.mktemp(request.param)
    made = load(make_base(folder / "base"))
    add_lora(made, {"r": 2})
    attach(made, IncrementConfig(scope=request.param))
    torch.manual_seed(0)  # some draws amplify float32's rounding beyond what is allowed here
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "increments." in name or ".lora_" in name:
                parameter.add_(0.5 * torch.randn_like(parameter))
    save(made, folder / "graft")
    return load(folder / "graft")


@torch.no_grad()
def greedily(model: PreTrainedModel, tokens: Tensor, count: int) -> Tensor:
    """The most likely continuation, by a full pass for every token."""
    for _ in range(count):
        logits = model(tokens, use_cache=False).logits[:, -1]
        logits[:, 0] = -torch.inf  # as `min_new_tokens` forbids the end of the text
        tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    return tokens


@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}, {"use_cache": False}])
def test_greedy_decoding_equals_full_passes(model: PreTrainedModel, options: dict[str, Any]) -> None:
    generated = model.generate(PROMPT, do_sample=False, disable_compile=True, **NEW, **options)
    assert torch.equal(generated, greedily(model, PROMPT, 12))


def test_beams_score_as_full_passes_do(model: PreTrainedModel) -> None:
    output = model.generate(
        PROMPT, num_beams=4, do_sample=False, length_penalty=0.0, num_return_sequences=4,
        return_dict_in_generate=True, output_scores=True, **NEW,
    )  # fmt: skip
    with torch.no_grad():
        logits = model(output.sequences, use_cache=False).logits[:, PROMPT.shape[1] - 1 : -1]
    logits[..., 0] = -torch.inf
    # Forbidding a token comes after the scores are normalised.
    normaliser = model(output.sequences, use_cache=False).logits[:, PROMPT.shape[1] - 1 : -1].logsumexp(-1)
    chosen = output.sequences[:, PROMPT.shape[1] :, None]
    expected = (logits.gather(-1, chosen)[..., 0] - normaliser).sum(-1)
    torch.testing.assert_close(output.sequences_scores, expected, rtol=1e-4, atol=1e-4)
    assert len({tuple(sequence.tolist()) for sequence in output.sequences}) == 4


class _Uncached(LogitsProcessor):
    """Replaces the scores of cached decoding by those of a full pass, and notes how far apart they were."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.differences = model, []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        full = self.model(input_ids, use_cache=False).logits[:, -1]
        self.differences.append((full - scores).abs().max().item())
        return scores


def test_sampling_draws_from_the_distribution_of_full_passes(model: PreTrainedModel) -> None:
    watch = _Uncached(model)
    options = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 12, "pad_token_id": 0}
    torch.manual_seed(1)
    model.generate(PROMPT, logits_processor=LogitsProcessorList([watch]), **options)
    assert len(watch.differences) == 12
    assert max(watch.differences) < 1e-3  # of logits, in float32; a token that is misplaced moves them by far more


def test_assisted_decoding_equals_greedy_decoding(model: PreTrainedModel, tmp_path: Path) -> None:
    draft = load(make_base(tmp_path / "draft", seed=5, num_hidden_layers=1))
    attach(draft, IncrementConfig(scope="per_layer"))
    options = {"do_sample": False, "max_new_tokens": 12, "pad_token_id": 0}
    expected = model.generate(PROMPT, **options)
    assert torch.equal(model.generate(PROMPT, assistant_model=draft, **options), expected)
    # A draft that is always right has all its tokens accepted, one that differs makes the cache be cropped.
    assert torch.equal(model.generate(PROMPT, assistant_model=model, **options), expected)
    assert torch.equal(model.generate(PROMPT, prompt_lookup_num_tokens=3, **options), expected)


@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}, {"num_beams": 3}])
def test_prompts_of_several_lengths_side_by_side_equal_each_alone(
    model: PreTrainedModel, options: dict[str, Any]
) -> None:
    prompts = [PROMPT[0], PROMPT[0, 3:], PROMPT[0, 6:]]
    options = {"do_sample": False, "disable_compile": True, **NEW, **options}
    longest = max(len(prompt) for prompt in prompts)
    padded = torch.stack([torch.nn.functional.pad(prompt, (longest - len(prompt), 0)) for prompt in prompts])
    mask = torch.stack([torch.arange(longest) >= longest - len(prompt) for prompt in prompts]).long()
    together = model.generate(padded, attention_mask=mask, **options)
    for row, prompt in zip(together, prompts, strict=True):
        alone = model.generate(prompt[None], **options)[0]
        assert row[-12:].tolist() == alone[-12:].tolist()
