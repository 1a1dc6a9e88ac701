"""Whatever shape a model has, it is saved so that it loads bit for bit, or refused by name before it is written."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from howfar.errors import CheckpointError, ConfigError, HowFarError, OutputError, UnsupportedModelError
from howfar.models import loading
from howfar.models.disguise import GRAFT_FILE
from howfar.models.loading import load, load_at, save, tokenizer_of
from howfar.models.lora import adapter_of, add_lora, merge_lora
from howfar.models.manifest import MANIFEST_FILE, write_manifest
from howfar.models.origin import base_of, origin_of
from howfar.models.settings import attention_of
from howfar.positions import IncrementConfig, attach, detach, increments_of
from support.grafts import make_base, stir
from support.models import seeing, tiny, tokens
from support.threads import in_threads

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's are not ours to mend
IDS = torch.arange(3, 43).view(2, 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    was_training = model.training
    with torch.compiler.set_stance("force_eager"):
        made: Tensor = model.eval()(input_ids=IDS).logits
    model.train(was_training)
    return made


def grafted(base: Path, **options: Any) -> PreTrainedModel:
    model = load(base)
    attach(model, IncrementConfig(**{"scope": "shared", **options}))
    return stir(model, "increments.")


def lora(**options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"r": 2, "target_modules": ["q_proj", "up_proj"], **options})


def peft(model: nn.Module, config: Any, name: str = "default") -> nn.Module:
    from peft import get_peft_model

    wrapped = get_peft_model(model, config, adapter_name=name)
    return stir(stir(wrapped, "lora_"), "modules_to_save")


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def compiled_in_part(model: PreTrainedModel) -> PreTrainedModel:
    model.model.layers[1] = torch.compile(model.model.layers[1], backend="eager")
    return model


def in_float16(model: PreTrainedModel) -> PreTrainedModel:
    return model.to(torch.float16)


Shape = Callable[[PreTrainedModel], nn.Module]
SHAPES: dict[str, Shape] = {
    "compiled": compiled,
    "compiled in part": compiled_in_part,
    "parallel": nn.DataParallel,
    "compiled and parallel": lambda model: nn.DataParallel(compiled(model)),
    "peft": lambda model: peft(model, lora()),
    "peft, and its inside is given": lambda model: peft(model, lora()).get_base_model(),
    "peft, compiled": lambda model: compiled(peft(model, lora())),
    "compiled, peft": lambda model: peft(compiled(model), lora()),
    "a named adapter": lambda model: peft(model, lora(), "poet"),
    "an adapter around everything": lambda model: peft(model, lora(target_modules="all-linear")),
    "rank-stabilised": lambda model: peft(model, lora(use_rslora=True, rank_pattern={"up_proj": 4})),
    "weight-decomposed": lambda model: peft(model, lora(use_dora=True)),
    "copied increments": lambda model: peft(model, lora(modules_to_save=["increments"]), "poet"),
    "copied head": lambda model: peft(model, lora(modules_to_save=["lm_head"])),
    "copied embedding": lambda model: peft(model, lora(modules_to_save=["embed_tokens", "increments"])),
    "some tokens trained": lambda model: peft(model, lora(trainable_token_indices=[3, 4])),
    "in training": lambda model: model.train(),
    "a copy": copy.deepcopy,
}


OF_INCREMENTS = ["compiled in part", "peft", "an adapter around everything", "copied increments", "copied embedding"]
"""Shapes that reach into increments, whose modules lie elsewhere in each scope."""


@pytest.mark.parametrize(
    ("shape", "scope"), [*((shape, "per_layer") for shape in SHAPES), *((shape, "shared") for shape in OF_INCREMENTS)]
)
def test_a_graft_of_any_shape_loads_bit_for_bit(base: Path, tmp_path: Path, shape: str, scope: str) -> None:
    model = SHAPES[shape](grafted(base, scope=scope))
    before = [part.training for part in model.modules()]
    save(model, tmp_path / "graft")
    assert [part.training for part in model.modules()] == before
    again = load(tmp_path / "graft")
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), logits(load(base)))
    assert increments_of(again).config.scope == scope
    assert tokenizer_of(again)("the cat").input_ids == tokenizer_of(model)("the cat").input_ids
    save(again, tmp_path / "again")
    assert torch.equal(logits(load(tmp_path / "again")), logits(again))


@pytest.mark.parametrize("shape", ["compiled", "peft", "copied head", "an adapter around everything"])
def test_a_plain_model_of_any_shape_loads_bit_for_bit(base: Path, tmp_path: Path, shape: str) -> None:
    model = SHAPES[shape](load(base))
    save(model, tmp_path / "saved")
    assert torch.equal(logits(load(tmp_path / "saved")), logits(model))


@pytest.mark.parametrize("shape", ["peft", "copied increments", "copied head", "an adapter around everything"])
def test_a_merged_adapter_is_saved_with_all_weights(base: Path, tmp_path: Path, shape: str) -> None:
    model = SHAPES[shape](grafted(base))
    expected = logits(model)
    merge_lora(model)
    inside = model.get_base_model()
    torch.testing.assert_close(logits(inside), expected, rtol=1e-4, atol=1e-4)
    save(inside, tmp_path / "merged")
    assert torch.equal(logits(load(tmp_path / "merged")), logits(inside))
    assert not list((tmp_path / "merged").glob("*adapter*"))


@pytest.mark.parametrize("architecture", ["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("targets", [["experts.gate_up_proj", "experts.down_proj"], ["experts.down_proj"]])
def test_adapters_around_several_tensors_of_a_module_are_merged_and_saved(
    tmp_path: Path, architecture: str, targets: list[str]
) -> None:
    tiny(architecture).save_pretrained(tmp_path / "base")
    model = load(tmp_path / "base")
    add_lora(model, {"target_modules": ["q_proj"], "target_parameters": targets, "r": 2})
    attach(stir(model, "lora_"))
    stir(model, "increments.")
    with torch.no_grad():
        expected = model(IDS).logits
        merge_lora(model)
        torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-3, atol=1e-3)
        assert not any("base_layer" in name for name in model.state_dict())
        save(model, tmp_path / "merged")
        assert torch.equal(load(tmp_path / "merged")(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lora_bias": True, "target_modules": ["q_proj", "o_proj"]}, "the base layer has no bias"),
        ({"alora_invocation_tokens": [3, 4]}, "does not support"),
    ],
)
def test_an_adapter_that_peft_does_not_merge_is_refused_and_stays(
    base: Path, options: dict[str, Any], said: str
) -> None:
    model = stir(load(base))
    model.model.layers[0].self_attn.q_proj.bias = nn.Parameter(torch.randn(32))  # this layer alone can be merged
    wrapped = peft(model, lora(task_type="CAUSAL_LM", **options))
    before = {name: tensor.clone() for name, tensor in wrapped.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"PEFT cannot merge this adapter .*{said}.*; keep it"):
        merge_lora(wrapped)
    for name, tensor in wrapped.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    assert not any(getattr(module, "merged", False) for module in wrapped.modules())


_EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4, "n_routed_experts": 4, "moe_topk": 2}
_LONGCAT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
_LONGCAT |= {"num_layers": 1, "ffn_hidden_size": 48, "expert_ffn_hidden_size": 16, "zero_expert_num": 2, "head_dim": 8}


def with_experts(architecture: str) -> PreTrainedModel:
    """A model with a router that PEFT takes for an ordinary layer."""
    options = {"longcat_flash": {**_LONGCAT, "num_key_value_heads": 4}, "phimoe": {}}[architecture]
    return tiny("llama", model_type=architecture, **_EXPERTS, **options)


def past_its_layer(module: nn.Module, x: Tensor) -> Tensor:
    """An MLP that multiplies by a layer's weight itself."""
    gate = nn.functional.linear(x, weight=module.gate_proj.weight.to(x.dtype))
    return module.down_proj(gate * module.up_proj(x))


def around_its_layer() -> PreTrainedModel:
    model = tiny()
    for layer in model.model.layers:
        layer.mlp.forward = partial(past_its_layer, layer.mlp)
    return model


@pytest.mark.parametrize(
    ("make", "name"),
    [(partial(with_experts, "longcat_flash"), "router.classifier"), (around_its_layer, "mlp.gate_proj")],
)
@torch.no_grad()
def test_an_adapter_around_a_weight_that_is_used_elsewhere_is_not_merged(
    make: Callable[[], PreTrainedModel], name: str
) -> None:
    model, ids = make(), tokens()
    add_lora(model, {"r": 2})
    expected = model(ids).logits
    merge_lora(model)  # an adapter that was not trained
    assert torch.equal(model(ids).logits, expected)
    add_lora(model, {"r": 2})
    before = {key: value.clone() for key, value in stir(model, "lora_").state_dict().items()}
    expected = model(ids).logits
    with pytest.raises(
        CheckpointError, match=f"merging would change the model's output: .* weight of .*{name} outside"
    ):
        merge_lora(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(model(ids).logits, expected)
    for key, parameter in model.named_parameters():
        if name in key and "lora_B" in key:
            parameter.zero_()
    merge_lora(model)
    torch.testing.assert_close(model(ids).logits, expected, rtol=1e-3, atol=1e-3)


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = super().forward(x)
        return y, y


class First(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


def returning_pairs() -> PreTrainedModel:
    model = tiny()
    for layer in model.model.layers:
        layer.mlp.gate_proj, layer.mlp.act_fn = Pair(32, 48, bias=False), First()
    return model


@pytest.mark.parametrize("make", [partial(with_experts, "phimoe"), returning_pairs])
@pytest.mark.parametrize("trainable", [True, False])
@torch.no_grad()
def test_an_adapter_with_which_a_model_does_not_run_is_refused_and_removed(
    make: Callable[[], PreTrainedModel], trainable: bool
) -> None:
    model, ids = make().requires_grad_(trainable), tokens()
    expected, names = model(ids).logits, list(model.state_dict())
    with pytest.raises(ConfigError, match=r"does not run with this adapter \(.*\); name the layers .* target_modules"):
        add_lora(model, {"r": 2})
    assert list(model.state_dict()) == names
    assert torch.equal(model(ids).logits, expected)
    assert {parameter.requires_grad for parameter in model.parameters()} == {trainable}
    add_lora(model, {"r": 2, "target_modules": ["q_proj", "v_proj"]})
    assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize("options", [{"r": 0}, {"target_modules": ["nothing"]}, {"bias": "all"}])
def test_an_adapter_that_is_refused_leaves_nothing_behind(options: dict[str, Any]) -> None:
    model = tiny()
    names = list(model.state_dict())
    with pytest.raises(ConfigError):
        add_lora(model, options)
    assert list(model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in model.parameters())
    add_lora(model, {"r": 2})
    assert adapter_of(model) is not None


def with_settings(base: Path, **settings: Any) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(base)
    for name, value in settings.items():
        setattr(config, name, value)
    return AutoModelForCausalLM.from_pretrained(base, config=config, dtype=torch.float32)


@pytest.mark.parametrize(
    "settings",
    [
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}, "max_position_embeddings": 512},
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}},
        {"rms_norm_eps": 1e-3},
        {"hidden_act": "gelu"},
    ],
)
def test_settings_that_differ_from_the_base_are_kept(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    model = with_settings(base, **settings)
    attach(model)
    stir(model, "increments.")
    save(model, tmp_path / "graft")
    assert not list((tmp_path / "graft").glob("model*"))
    again = load(tmp_path / "graft")
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), logits(grafted(base, scope="per_layer")))
    for name, value in settings.items():
        assert getattr(again.config, name) == value
    save(again, tmp_path / "again")
    assert torch.equal(logits(load(tmp_path / "again")), logits(model))


def test_how_it_generates_is_kept(base: Path, tmp_path: Path) -> None:
    model = grafted(base)
    model.generation_config.repetition_penalty = 1.5
    save(model, tmp_path / "graft")
    assert load(tmp_path / "graft").generation_config.repetition_penalty == 1.5


def test_a_vocabulary_that_grew_is_kept(base: Path, tmp_path: Path) -> None:
    model = grafted(base)
    model.resize_token_embeddings(330)
    save(model, tmp_path / "graft")
    assert load(tmp_path / "graft").get_input_embeddings().weight.shape[0] == 330


def spoiled(model: nn.Module, part: str, value: float) -> nn.Module:
    """One value of the first parameter whose name contains `part` becomes another."""
    parameter = next(parameter for name, parameter in model.named_parameters() if part in name)
    with torch.no_grad():
        parameter.view(-1)[-1] = value
    return model


def a_head_tied_by_hand(model: PreTrainedModel) -> nn.Module:
    model.lm_head.weight = model.model.embed_tokens.weight
    return model


def layers_that_share(model: PreTrainedModel) -> nn.Module:
    model.model.layers[1].mlp = model.model.layers[0].mlp
    return model


def norms_that_share(model: PreTrainedModel) -> nn.Module:
    model.model.norm.weight = model.model.layers[2].input_layernorm.weight
    return peft(model, lora())


def one_layer_less(model: PreTrainedModel) -> nn.Module:
    del model.model.layers[1]
    return model


def other_layers(model: PreTrainedModel) -> nn.Module:
    model.model.layers, model.config.num_hidden_layers = model.model.layers[:1], 1
    return model


def a_head_of_another_size(model: PreTrainedModel) -> nn.Module:
    model.lm_head = nn.Linear(32, 300, bias=False)
    return model


def nan_in_a_weight(model: PreTrainedModel) -> nn.Module:
    return spoiled(model, "down_proj", float("nan"))


def nan_in_half_precision(model: PreTrainedModel) -> nn.Module:
    return spoiled(in_float16(model), "norm", float("nan"))


def infinite_increments(model: PreTrainedModel) -> nn.Module:
    return spoiled(model, "increments", float("inf"))


def an_infinite_adapter(model: PreTrainedModel) -> nn.Module:
    return spoiled(peft(model, lora()), "lora_B", float("-inf"))


def a_setting_without_its_effect(model: PreTrainedModel) -> nn.Module:
    model.config.rope_parameters["rope_theta"] = 5e5  # the frequencies were computed before
    return model


def a_hook(model: PreTrainedModel) -> nn.Module:
    model.model.layers[0].register_forward_hook(lambda module, args, output: output * 2)
    return model


def another_activation(model: PreTrainedModel) -> nn.Module:
    model.model.layers[0].mlp.act_fn = nn.ReLU()
    return model


def a_part_that_no_configuration_has(model: PreTrainedModel) -> nn.Module:
    model.model.more = nn.Linear(2, 2)
    return model


def weights_of_two_types(model: PreTrainedModel) -> nn.Module:
    model.lm_head.bfloat16()
    return model


def two_adapters(model: PreTrainedModel) -> nn.Module:
    wrapped = peft(model, lora())
    wrapped.add_adapter("second", lora())
    return wrapped


def merged_but_there(model: PreTrainedModel) -> nn.Module:
    wrapped = peft(model, lora())
    wrapped.merge_adapter()
    return wrapped


def switched_off(model: PreTrainedModel) -> nn.Module:
    wrapped = peft(model, lora())
    wrapped.base_model.disable_adapter_layers()
    return wrapped


def a_prompt(model: PreTrainedModel) -> nn.Module:
    from peft import PromptTuningConfig

    return peft(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


def changed_under_an_adapter(model: PreTrainedModel) -> nn.Module:
    return stir(peft(model, lora()), "norm.weight")


def offloaded(model: PreTrainedModel) -> nn.Module:
    model.lm_head.to("meta")
    return model


def with_biases(model: PreTrainedModel) -> nn.Module:
    return peft(model, lora(bias="all"))


def with_a_bank_of_vectors(model: PreTrainedModel) -> nn.Module:
    from peft import VBLoRAConfig

    return peft(model, VBLoRAConfig(target_modules=["q_proj"], r=2, num_vectors=8, vector_length=8))


def with_shared_projections(model: PreTrainedModel) -> nn.Module:
    from peft import VeraConfig

    return peft(model, VeraConfig(target_modules=["q_proj"], r=2)).get_base_model()


def a_part_of_it(model: PreTrainedModel) -> nn.Module:
    return model.model


def no_transformers_model(model: PreTrainedModel) -> nn.Module:
    return nn.Sequential(model)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (a_setting_without_its_effect, CheckpointError, "inv_freq differs when it is computed from the configuration"),
        (a_hook, CheckpointError, "its output on the same tokens differs"),
        (another_activation, CheckpointError, "its output on the same tokens differs"),
        (a_part_that_no_configuration_has, CheckpointError, "model.more.*not there"),
        (weights_of_two_types, CheckpointError, "lm_head.weight is torch.bfloat16 but is read as torch.float32"),
        (two_adapters, CheckpointError, "2 adapters .'default', 'second'. but a graft holds one"),
        (merged_but_there, CheckpointError, "'default' is merged into the weights"),
        (switched_off, CheckpointError, "'default' is disabled"),
        (a_prompt, UnsupportedModelError, "'default' is a prompt beside the model"),
        (changed_under_an_adapter, CheckpointError, "call howfar.merge_lora"),
        (offloaded, CheckpointError, "lm_head.weight is not in memory"),
        (with_a_bank_of_vectors, CheckpointError, "'default' is of PEFT's type VBLORA, which keeps a part of itself"),
        (with_shared_projections, CheckpointError, "'default' is of PEFT's type VERA, which keeps a part of itself"),
        (with_biases, CheckpointError, "'default' also trains biases of the model"),
        (
            nan_in_a_weight,
            CheckpointError,
            "1 of the .* values of model.*down_proj.weight are NaN .*: go back to weights",
        ),
        (nan_in_half_precision, CheckpointError, "values of .*norm.weight are NaN or infinite"),
        (infinite_increments, CheckpointError, "values of .*increments.* are NaN or infinite"),
        (an_infinite_adapter, CheckpointError, "values of .*lora_B.* are NaN or infinite"),
        (a_part_of_it, UnsupportedModelError, "LlamaModel does not predict the next token"),
        (no_transformers_model, UnsupportedModelError, "a Sequential holds no Transformers model"),
    ],
)
def test_what_cannot_be_saved_whole_is_refused_by_name(
    base: Path, tmp_path: Path, spoil: Shape, error: type[HowFarError], said: str
) -> None:
    model = spoil(grafted(base))
    with pytest.raises(error, match=said) as caught:
        save(model, tmp_path / "graft")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def another_scale(model: PreTrainedModel) -> nn.Module:
    model.model.layers[0].self_attn.scaling *= 2
    return model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spoil", [a_hook, another_activation, another_scale])
def test_output_is_compared_where_frequencies_were_rounded_with_the_weights(
    base: Path, tmp_path: Path, dtype: torch.dtype, spoil: Shape
) -> None:
    model = grafted(base).to(dtype)
    save(model, tmp_path / "whole")
    with pytest.raises(CheckpointError, match="its output on the same tokens differs"):
        save(spoil(model), tmp_path / "graft")
    assert not (tmp_path / "graft").exists()


def test_an_adapter_on_a_model_from_scratch_is_refused(tmp_path: Path) -> None:
    model = load()
    add_lora(model, {"r": 2})
    with pytest.raises(CheckpointError, match="merge_lora"):
        save(model, tmp_path / "saved")
    merge_lora(model)
    save(model, tmp_path / "saved")
    assert torch.equal(logits(load(tmp_path / "saved")), logits(model))


def by_save_pretrained(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def by_several_files(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def by_trainer(model: PreTrainedModel, folder: Path) -> Path:
    Trainer(model, TrainingArguments(str(folder), use_cpu=True, report_to="none")).save_model()
    return folder


def by_a_checkpoint(model: PreTrainedModel, folder: Path) -> Path:
    data = [{"input_ids": IDS[0], "labels": IDS[0]}]
    arguments = TrainingArguments(str(folder), use_cpu=True, report_to="none", max_steps=1, save_steps=1)
    Trainer(model, arguments, train_dataset=data).train()
    return folder / "checkpoint-1"


@pytest.mark.parametrize("scope", ["shared", "per_layer"])
@pytest.mark.parametrize("way", [by_save_pretrained, by_several_files, by_trainer, by_a_checkpoint])
def test_increments_that_transformers_saved_are_loaded(
    base: Path, tmp_path: Path, way: Callable[[PreTrainedModel, Path], Path], scope: str
) -> None:
    model = grafted(base, scope=scope, bound="softplus", advance="after")
    folder = way(model, tmp_path / "theirs")
    again = load(folder)
    assert torch.equal(logits(again), logits(model))
    assert increments_of(again).config == increments_of(model).config
    save(again, tmp_path / "ours")
    assert torch.equal(logits(load(tmp_path / "ours")), logits(model))


def image_text_model(folder: Path) -> Path:
    """A Gemma 3 that also takes images; Transformers gives its parts other names in files."""
    text = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scope", ["shared", "per_layer"])
@pytest.mark.parametrize("architecture", ["gemma3", "falcon"])
def test_increments_are_found_by_other_names_in_files(tmp_path: Path, architecture: str, scope: str) -> None:
    if architecture == "gemma3":
        image_text_model(tmp_path / "base")
    else:
        tiny(architecture).save_pretrained(tmp_path / "base")
    model = grafted(tmp_path / "base", scope=scope)
    model.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert increments_of(again).config == increments_of(model).config
    assert torch.equal(logits(again), logits(model))


def test_increments_of_an_unknown_kind_ask_for_it(base: Path, tmp_path: Path) -> None:
    model = grafted(base)
    model.save_pretrained(tmp_path / "theirs")
    path = tmp_path / "theirs" / "config.json"
    config = json.loads(path.read_text())
    options = config.pop("increments")
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r'config\.json does not name their kind; add .* "increments": \{'):
        load(tmp_path / "theirs")
    path.write_text(json.dumps({**config, "increments": options}))
    assert torch.equal(logits(load(tmp_path / "theirs")), logits(model))
    path.write_text(json.dumps({**config, "increments": {**options, "scope": "per_layer"}}))
    with pytest.raises(CheckpointError, match="does not fit the model"):
        load(tmp_path / "theirs")


def test_a_model_whose_increments_were_taken_away_is_saved_without(base: Path, tmp_path: Path) -> None:
    model = grafted(base)
    detach(model)
    model.save_pretrained(tmp_path / "plain")
    assert "increments" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    assert torch.equal(logits(load(tmp_path / "plain")), logits(load(base)))


def test_a_folder_with_an_adapter_alone_is_loaded_on_its_base(base: Path, tmp_path: Path) -> None:
    model = load(base)
    model.name_or_path = model.config._name_or_path = str(base)
    wrapped = peft(model, lora())
    wrapped.save_pretrained(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert torch.equal(logits(again), logits(wrapped))
    assert tokenizer_of(again)("the cat").input_ids == tokenizer_of(load(base))("the cat").input_ids


@pytest.mark.parametrize("way", [load, AutoModelForCausalLM.from_pretrained])
def test_an_adapter_of_a_graft_is_loaded_on_it(base: Path, tmp_path: Path, way: Callable[[Path], nn.Module]) -> None:
    save(grafted(base), tmp_path / "graft")
    wrapped = peft(load(tmp_path / "graft"), lora())
    wrapped.save_pretrained(tmp_path / "adapter")
    again = way(tmp_path / "adapter")
    assert torch.equal(logits(again), logits(wrapped))
    assert increments_of(again).config == increments_of(wrapped).config


@pytest.mark.parametrize("way", [load, load_at, AutoModelForCausalLM.from_pretrained])
def test_an_adapter_with_dropout_is_loaded_in_eval_mode(base: Path, tmp_path: Path, way: Callable[[Path], nn.Module]):
    save(grafted(base), tmp_path / "graft")
    wrapped = peft(load(tmp_path / "graft"), lora(lora_dropout=0.5))
    wrapped.eval().save_pretrained(tmp_path / "adapter")
    again = way(tmp_path / "adapter")
    assert not any(module.training for module in again.modules())
    assert torch.equal(logits(again), logits(wrapped))


def hub_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let any name on the Hub be a folder; returns what is asked for, as it is asked."""
    asked: list[dict[str, Any]] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


@pytest.mark.parametrize("revision", [None, "v2"])
def test_an_adapter_s_base_is_downloaded_at_its_revision_and_from_the_same_place(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    wrapped = peft(load(base), lora(revision=revision))
    wrapped.peft_config["default"].base_model_name_or_path = "owner/model"
    wrapped.save_pretrained(tmp_path / "adapter")
    asked = hub_of(base, monkeypatch)
    again = load_at(tmp_path / "adapter", download={"token": "secret", "local_files_only": True})
    wanted = {"name": "owner/model", "revision": revision, "token": "secret", "local_files_only": True}
    assert [wanted.items() <= call.items() for call in asked] == [True]
    assert torch.equal(logits(again), logits(wrapped))


def test_the_tokenizer_of_a_model_at_a_revision_is_of_that_revision(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--owner--model" / "snapshots" / ("a" * 40)
    shutil.copytree(base, snapshot)
    asked = hub_of(snapshot, monkeypatch)
    tokenizer_of(load_at("owner/model", revision="v2"))
    assert [call["revision"] for call in asked] == ["v2", "a" * 40]


def test_an_adapter_that_is_saved_names_the_revision_of_its_base(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--owner--model" / "snapshots" / ("a" * 40)
    shutil.copytree(base, snapshot)
    hub_of(snapshot, monkeypatch)
    model = load_at("owner/model", revision="v2")
    add_lora(model, {"r": 2})
    save(model, tmp_path / "baseline")  # PEFT opens its base at the revision that this file gives
    values = json.loads((tmp_path / "baseline" / "adapter_config.json").read_text())
    assert (values["base_model_name_or_path"], values["revision"]) == ("owner/model", "a" * 40)


def test_an_adapter_whose_base_has_a_revision_of_another_type_is_refused(base: Path, tmp_path: Path) -> None:
    peft(load(base), lora()).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": 3}))
    with pytest.raises(CheckpointError, match="revision is 3, not text"):
        load(tmp_path / "adapter")


def test_a_graft_s_adapter_that_transformers_saved_alone_is_refused(base: Path, tmp_path: Path) -> None:
    model = load(base)
    add_lora(model, {"r": 2})
    attach(model)
    save(model, tmp_path / "graft")
    load(tmp_path / "graft").save_pretrained(tmp_path / "adapter")  # it would be read without increments
    for way in (load, AutoModelForCausalLM.from_pretrained):
        with pytest.raises(CheckpointError, match=r"has one already; save .* by howfar\.save\(model, folder\)"):
            way(tmp_path / "adapter")


def test_an_adapter_saved_by_peft_beside_increments_says_how_to_save_both(base: Path, tmp_path: Path) -> None:
    wrapped = peft(grafted(base), lora(modules_to_save=["increments"]))
    wrapped.save_pretrained(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"howfar\.save\(model, folder\)"):
        load(tmp_path / "adapter")
    save(grafted(base), tmp_path / "graft")
    (tmp_path / "graft" / GRAFT_FILE).unlink()
    (tmp_path / "graft" / MANIFEST_FILE).unlink()
    with pytest.raises(CheckpointError):
        load(tmp_path / "graft")


def test_the_base_of_a_model_that_was_trained_before_it_was_attached_is_that_of_its_files(
    base: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    stir(model)
    attach(model)
    save(model, tmp_path / "graft")
    assert base_of(model).fingerprint == base_of(load(base)).fingerprint
    assert torch.equal(logits(load(tmp_path / "graft")), logits(model))
    base_name = json.loads((tmp_path / "graft" / GRAFT_FILE).read_text())["base"]["name"]
    assert base_name == base.name  # all weights are there, so where the base lay is nobody's business


def test_what_is_known_of_a_model_goes_with_a_copy_of_it(base: Path) -> None:
    model = load(base)
    tokenizer = tokenizer_of(model)
    other = copy.deepcopy(model)
    assert base_of(other) == base_of(model)
    assert tokenizer_of(other) is tokenizer
    assert LlamaForCausalLM(model.config).eval() is not None


def tied_by_the_configuration(model: PreTrainedModel) -> None:
    model.config.tie_word_embeddings = True
    model.tie_weights()


def tied_by_hand_and_named(model: PreTrainedModel) -> None:
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight


@pytest.mark.parametrize("tie", [tied_by_the_configuration, tied_by_hand_and_named])
def test_a_head_that_was_tied_after_attaching_is_saved(
    base: Path, tmp_path: Path, tie: Callable[[PreTrainedModel], None]
) -> None:
    model = grafted(base)
    tie(model)
    save(model, tmp_path / "graft")
    again = load(tmp_path / "graft")
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("part", ["down_proj", "increments"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_though_their_hash_is_right(
    base: Path, tmp_path: Path, part: str, value: float
) -> None:
    model = grafted(base)
    stir(model, "norm")  # so that all weights are saved
    save(model, tmp_path / "graft")
    file = tmp_path / "graft" / ("increments.safetensors" if part == "increments" else "model.howfar.safetensors")
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if part in name or part == "increments")
    tensors[name].view(-1)[0] = value
    save_file(tensors, file, metadata={"format": "pt"})
    write_manifest(tmp_path / "graft")
    with pytest.raises(CheckpointError, match=f"1 of the .* values of {name} are NaN or infinite.*: save or download"):
        load(tmp_path / "graft")


def test_threads_that_load_and_save_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    tied = make_base(tmp_path / "tied", tie_word_embeddings=True)
    expected = logits(load(tied))

    def reload(thread: int) -> None:
        save(load(tied), tmp_path / f"saved-{thread}")
        assert torch.equal(logits(load(tmp_path / f"saved-{thread}")), expected)

    in_threads(2, reload, num_rounds=1)
    again = load(tied)
    assert again.lm_head.weight is again.model.embed_tokens.weight


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_place_that_cannot_be_is_refused(base: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError) as caught:
        save(load(base), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("other", ["notes.md", "training.json", "checkpoint-5/", "model-00001-of-00002.safetensors"])
def test_what_a_folder_holds_beside_a_model_is_not_deleted(base: Path, tmp_path: Path, other: str) -> None:
    model, folder = load(base), tmp_path / "saved"
    for _ in range(2):
        save(model, folder)
    (folder / "README.md").write_text("Mine.", encoding="utf-8")
    save(model, folder)  # which keeps the README
    assert (folder / "README.md").read_text(encoding="utf-8") == "Mine."
    (folder / other).mkdir() if other.endswith("/") else (folder / other).write_text("Mine too.", encoding="utf-8")
    with pytest.raises(OutputError, match=rf"holds {other.rstrip('/')}, which saving there would delete"):
        save(model, folder)
    assert (folder / other).exists()


@pytest.mark.parametrize("loaded", ["from it", "from a graft of it"])
def test_a_graft_does_not_replace_its_base(base: Path, tmp_path: Path, loaded: str) -> None:
    folder = tmp_path / "base"
    save(load(base), folder)
    model = load(folder)
    attach(model)
    if loaded == "from a graft of it":
        save(model, tmp_path / "graft")
        model = load(tmp_path / "graft")
    with pytest.raises(OutputError, match=r"holds the base model, which a graft needs; choose another"):
        save(model, folder)
    assert torch.equal(logits(load(folder)), logits(load(base)))


def test_to_save_a_graft_again_asks_the_hub_for_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder, asked = load(base), tmp_path / "graft", []
    attach(model)
    save(model, folder)
    origin_of(model).base = replace(base_of(model), name="owner/model")
    monkeypatch.setattr(loading, "find_model", lambda name, **_: asked.append(name) or Path(name))
    assert not loading._is_base(folder, model)
    assert asked == []


def test_the_card_of_a_graft_follows_it_until_it_is_edited(base: Path, tmp_path: Path) -> None:
    folder, model = tmp_path / "graft", load(base)
    for scope in ("shared", "per_layer"):
        attach(model, IncrementConfig(scope=scope))
        save(model, folder)
        assert f'scope = "{scope}"' in (folder / "README.md").read_text(encoding="utf-8")
        detach(model)


def test_a_folder_that_other_software_wrote_is_not_replaced(base: Path, tmp_path: Path) -> None:
    model, folder = load(base), tmp_path / "theirs"
    model.save_pretrained(folder)
    with pytest.raises(OutputError, match=r"holds .*, which saving there would delete"):
        save(model, folder)
    assert (folder / "model.safetensors").is_file()


def test_a_full_disk_leaves_what_was_there(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = grafted(base)
    save(model, tmp_path / "graft")
    before = {path.name: path.read_bytes() for path in (tmp_path / "graft").iterdir()}

    def full(*args: object, **kwargs: object) -> None:
        raise Exception("No space left on device (os error 28)")  # as tokenizers says it

    monkeypatch.setattr(type(tokenizer_of(model)), "save_pretrained", full)
    with pytest.raises(OutputError, match=r"graft cannot be written .*make room"):
        save(stir(model, "increments."), tmp_path / "graft")
    assert {path.name: path.read_bytes() for path in (tmp_path / "graft").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["graft"]


def test_a_map_that_offloads_a_part_is_refused_by_name(base: Path) -> None:
    places = {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.norm": "disk", "model.rotary_emb": "cpu"}
    with pytest.raises(CheckpointError, match=r"device_map offloads model.norm.weight of .*; give a map that places"):
        load(base, device_map={**places, "lm_head": "cpu"})


@pytest.mark.parametrize("architecture", ["got_ocr2", "gemma3"])
@pytest.mark.parametrize("text", ["sdpa", "eager"])
@pytest.mark.parametrize("attached", [False, True])
def test_parts_that_attend_by_different_functions_are_read_back_as_they_are(
    architecture: str, text: str, attached: bool, tmp_path: Path
) -> None:
    seeing(architecture).save_pretrained(tmp_path / "base")
    model = load(tmp_path / "base")
    model.set_attn_implementation({"text_config": text})
    if attached:
        attach(model)
    save(model, tmp_path / "saved")
    attention = attention_of(model.config)
    assert isinstance(attention, dict)
    assert attention["text_config"] == text
    again = load(tmp_path / "saved", attn_implementation=attention)
    assert attention_of(again.config) == attention
    assert torch.equal(again(tokens()).logits, model(tokens()).logits)
