import math
import tomllib
from pathlib import Path

import pytest

from howfar.errors import ConfigError
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.recipe import NOT_THE_MODELS, Recipe
from howfar.training.recipe_files import bundled_recipes
from howfar.training.runs import training_arguments
from howfar.training.trainer_options import NOT_THE_TRAINERS, WITHOUT_EFFECT, below_full_rate

MINIMAL = {"name": "a", "corpus": "corpora/b", "trainer": {"max_steps": 10}}


def test_a_minimal_recipe_has_the_published_sizes() -> None:
    config = Recipe.from_dict(MINIMAL).model_config()
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (256, 6, 8)
    assert (config.vocab_size, config.max_position_embeddings, config.increments) == (257, 512, None)


def test_to_dict_makes_the_same_recipe_again() -> None:
    recipe = Recipe.load("small-per-layer")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_overrides_merge_tables_and_replace_values() -> None:
    recipe = Recipe.load("small-shared", overrides={"seed": 7, "trainer": {"max_steps": 3}})
    assert recipe.seed == 7
    assert recipe.trainer == {**Recipe.load("small-shared").trainer, "max_steps": 3}


def test_overrides_merge_as_deep_as_settings_do() -> None:
    steps = {"trainer": {"lr_scheduler_kwargs": {"num_decay_steps": 5}}}
    merged = Recipe.load("small-per-layer", overrides=steps)
    assert merged.trainer["lr_scheduler_kwargs"] == {"num_decay_steps": 5, "decay_type": "1-sqrt"}
    assert merged == Recipe.load("small-per-layer", settings=["trainer.lr_scheduler_kwargs.num_decay_steps=5"])
    assert Recipe.load("small-rope", overrides={"encoding": {"name": "nope"}}).encoding == {"name": "nope"}


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_load_under_their_own_names(name: str) -> None:
    assert Recipe.load(name).name == name


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_have_options_that_the_trainer_takes(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name, overrides={"trainer": {"use_cpu": True}})
    arguments = training_arguments(recipe, tmp_path)
    assert arguments.max_steps == recipe.trainer["max_steps"]
    assert recipe.resident is name.startswith("published-")


@pytest.mark.parametrize(
    ("chosen", "method"), [({}, "forkserver"), ({"dataloader_multiprocessing_context": "spawn"}, "spawn")]
)
def test_workers_are_not_forked_from_the_trainer(chosen: dict[str, str], method: str, tmp_path: Path) -> None:
    recipe = Recipe.load("small-rope", overrides={"trainer": {"dataloader_num_workers": 2, **chosen}})
    assert training_arguments(recipe, tmp_path).dataloader_multiprocessing_context == method


@pytest.mark.parametrize(
    ("variant", "increments"),
    [
        ("rope", None),
        ("shared", {"scope": "shared", "bound": "softplus", "start": "random"}),
        ("per-layer", {"scope": "per_layer", "bound": "sigmoid", "max_increment": 10.0, "start": "random"}),
        ("shared-per-head", {"scope": "shared", "per_head": True, "bound": "softplus", "start": "random"}),
        (
            "per-layer-per-head",
            {"scope": "per_layer", "per_head": True, "bound": "sigmoid", "max_increment": 10.0, "start": "random"},
        ),
    ],
)
def test_published_recipes_have_the_published_setup(variant: str, increments: dict[str, object] | None) -> None:
    recipe = Recipe.load(f"published-{variant}")
    assert recipe.increments == increments
    published = {
        "hidden_size": 256,
        "num_attention_heads": 8,
        "num_hidden_layers": 6,
        "intermediate_size": 1024,
        "vocab_size": 257,
        "eos_token_id": 256,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "hidden_act": "silu",
    }
    config = recipe.model_config()
    assert {name: getattr(config, name) for name in published} == published
    assert config.rope_parameters["rope_theta"] == 10000.0
    optimiser = {
        "max_steps": 50_000,
        "per_device_train_batch_size": 64,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": 500,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "bf16": True,
    }
    assert {name: recipe.trainer[name] for name in optimiser} == optimiser
    num_parameters = sum(parameter.numel() for parameter in HowFarForCausalLM(config).parameters())
    assert round(num_parameters / 1e6, 1) in (6.4, 6.5)  # published as 6.4; six networks add 0.1 million


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "a"}, r"the file has no option 'nmae'; did you mean 'name'\?"),
        ({"model": {"hiden_size": 8}}, r"\[model\] has no option 'hiden_size'; did you mean 'hidden_size'\?"),
        ({"model": {"zzz": 8}}, r"\[model\] has no option 'zzz'; known are .* and others"),
        ({"increments": {"scpoe": "shared"}}, r"increments: there is no option 'scpoe'; did you mean 'scope'\?"),
        ({"increments": {"scope": "global"}}, "scope is 'global'; it must be 'shared' or 'per_layer'"),
        ({"trainer": {"max_step": 1}}, r"\[trainer\] has no option 'max_step'; did you mean 'max_steps'\?"),
        ({"model": {"increments": {}}}, r"put it in its own table, \[increments\]"),
        ({"model": {"encoding": {}}}, r"put it in its own table, \[encoding\]"),
        ({"encoding": "alibi"}, "encoding is 'alibi'; it must be a table"),
        ({"encoding": {}}, "name is None, and there is no such encoding; known are .*alibi"),
        ({"encoding": {"name": "alibii"}}, r"there is no such encoding; did you mean 'alibi'\?"),
        ({"encoding": {"name": "alibi", "lerned": True}}, r"no option 'lerned'; did you mean 'learned'\?"),
        (
            {"encoding": {"name": "pope", "learned": True}},
            "encoding 'pope': there is no option 'learned'; known are no",
        ),
        ({"encoding": {"name": "alibi", "learned": 1}}, "learned is 1; it must be true or false"),
        ({"encoding": {"name": "random", "spread": "x"}}, "spread is 'x'; it must be a number"),
        ({"encoding": {"name": "frozen"}}, "name one with shared increments"),
        ({"encoding": {"name": "halves"}}, r"is plain RoPE without increments; give \[increments\] as well"),
        ({"encoding": {"name": "nope"}, "increments": {}}, "no positions that increments could move; remove one"),
        ({"encoding": {"name": "random"}, "increments": {}}, r"gives increments itself; remove \[increments\]"),
        ({"encoding": {"name": "forget_gate"}, "increments": {}}, "set rotary = true, or remove"),
        ({"encoding": {"name": "halves"}, "increments": {"per_head": True}}, "set per_head to false"),
        (
            {"encoding": {"name": "alibi", "rotary": True}, "increments": {"per_head": True}},
            "set rotary or per_head to false",
        ),
        ({"trainer": {}}, "max_steps is None; it must be a positive number of steps"),
        ({"trainer": {"max_steps": 0}}, "max_steps is 0; it must be a positive number"),
        ({"trainer": {"max_steps": 1.5}}, r"\[trainer\] max_steps is 1.5; it must be a whole number"),
        ({"trainer": {"max_steps": True}}, r"\[trainer\] max_steps is True; it must be a whole number"),
        ({"trainer": {"learning_rate": "fast"}}, r"\[trainer\] learning_rate is 'fast'; it must be a number"),
        ({"trainer": {"max_steps": 1, "learning_rate": -1.0}}, "learning_rate is -1.0; it must be at least 0"),
        ({"trainer": {"per_device_train_batch_size": 0}}, "per_device_train_batch_size is 0; it must be at least 1"),
        ({"trainer": {"weight_decay": -0.1}}, "weight_decay is -0.1; it must be at least 0"),
        ({"trainer": {"dataloader_num_workers": -1}}, "dataloader_num_workers is -1; it must be at least 0"),
        ({"trainer": {"bf16": 1}}, r"\[trainer\] bf16 is 1; it must be true or false"),
        ({"increment_learning_rate": "slow"}, "increment_learning_rate is 'slow'; it must be a number, 0 or more"),
        (
            {"increment_learning_rate": 1e-3},
            r"increment_learning_rate is 0.001, but the model has no increments to train; give \[increments\], or",
        ),
        ({"increment_learning_rate": -1e-3}, "increment_learning_rate is -0.001; it must be a number, 0 or more"),
        ({"resident": 1}, "resident is 1; it must be true or false"),
        (
            {"resident": True, "trainer": {"max_steps": 1, "dataloader_num_workers": 2}},
            "sets dataloader_num_workers, but resident is true: .* need no workers; remove one of the two",
        ),
        (
            {"trainer": {"max_steps": 1, "greater_is_better": True}},
            "greater_is_better is true, .* a lower loss is better",
        ),
        (
            {"trainer": {"max_steps": 1, "lr_scheduler_kwargs": {"mode": "max"}}},
            "lr_scheduler_kwargs.mode is 'max', but training measures losses only, .*; remove it",
        ),
        (
            {"trainer": {"max_steps": 1, "lr_scheduler_type": "constant", "warmup_steps": 2}},
            "'constant' has no warm-up; set warmup_steps to 0, or take constant_with_warmup",
        ),
        (
            {"trainer": {"max_steps": 1, "lr_scheduler_type": "reduce_lr_on_plateau", "warmup_steps": 2}},
            "has no warm-up; set warmup_steps to 0, or take another schedule",
        ),
        (
            {"model": {"dtype": "bfloat16"}},
            r"\[model\] sets dtype, .*: weights are float32; .* set trainer.bf16 = true",
        ),
        ({"name": 3}, "name is 3; it must be a string"),
        ({"seed": "0"}, "seed is '0'; it must be a whole number"),
        ({"seed": True}, "seed is True; it must be a whole number"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"seed": 2**32}, r"seed is 4294967296; it must be 0 or more, and less than 2\*\*32"),
        ({"model": 3}, "model is 3; it must be a table"),
        ({"increments": "shared"}, "increments is 'shared'; it must be a table"),
        ({"trainer": []}, "trainer is .*; it must be a table"),
        (
            {"trainer": {"max_steps": 1, "per_device_eval_batch_size": 0}},
            "per_device_eval_batch_size is 0; it must be at",
        ),
        ({"increment_learning_rate": math.nan}, "increment_learning_rate is nan; it must be a number, 0 or more"),
        ({"model": {"hidden_size": 0}}, "hidden_size is 0; it must be a whole number of at least 1"),
        ({"model": {"num_hidden_layers": -1}}, "num_hidden_layers is -1; it must be a whole number of at least 1"),
        ({"model": {"max_position_embeddings": 1}}, "max_position_embeddings is 1; it must be a .* of at least 2"),
        ({"model": {"vocab_size": 256}}, "vocab_size is 256; it must be a whole number of at least 257"),
        ({"model": {"attn_implementation": 3}}, "attn_implementation is 3; it must be a string"),
        ({"model": {"hidden_size": 24}}, "gives each head 3 dimensions; rotary positions need an even number"),
        ({"model": {"hidden_size": 100}}, r"\[model\] is invalid: .*hidden size"),
        ({"model": {"hidden_size": "wide"}}, "hidden_size is 'wide'; it must be a whole number"),
        ({"model": {"num_key_value_heads": 3}}, "has 8 attention heads and 3 key-value heads; the first must be a mul"),
        ({"model": {"rms_norm_eps": "small"}}, r"\[model\] is invalid: .*rms_norm_eps"),
        ({"model": {"rms_norm_eps": math.nan}}, "rms_norm_eps is nan; it must be a number from 0 to 1"),
        ({"model": {"initializer_range": math.nan}}, "initializer_range is nan; it must be a number from 0 to 1"),
        ({"model": {"attention_dropout": 2}}, "attention_dropout is 2; it must be a number from 0 to 1"),
        (
            {"model": {"rope_parameters": {"rope_type": "default", "rope_theta": math.nan}}},
            "rope_theta is nan; it must be a positive number",
        ),
        (
            {"trainer": {"max_steps": 1, "dataloader_persistent_workers": True}},
            "persistent_workers is True, but there are no workers; set dataloader_num_workers, or remove it",
        ),
        (
            {"trainer": {"max_steps": 1, "lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"num_cycles": 2}}},
            "lr_scheduler_kwargs is .*, but lr_scheduler_type 'constant' has no options; set lr_scheduler_kwargs to {}",
        ),
        (
            {"trainer": {"max_steps": 1, "lr_scheduler_type": "constant_with_warmup", "lr_scheduler_kwargs": {"x": 2}}},
            "lr_scheduler_type 'constant_with_warmup' has no options",
        ),
        (
            {"trainer": {"max_steps": 1, "optim_args": "beta1=0.5"}},
            "optim_args has 'beta1=0.5', but optim 'adamw_torch_fused' reads none; remove it, or take another optim",
        ),
        (
            {"trainer": {"max_steps": 1, "optim": "sgd", "optim_args": "momentum=0.9, momentm=0.9"}},
            "optim_args has 'momentm=0.9', but optim 'sgd' reads momentum, dampening, weight_decay, nesterov; remove",
        ),
        *(
            (
                {"trainer": {"max_steps": 1, "accelerator_config": {"gradient_accumulation_kwargs": {"num_steps": n}}}},
                "gradient_accumulation_kwargs.num_steps, which .*; remove it, and set gradient_accumulation_steps",
            )
            for n in (0, 1, 2)
        ),
        (
            {"trainer": {"max_steps": 1, "activation_checkpointing_kwargs": {"use_reentrent": False}}},
            r"activation_checkpointing_kwargs has no option 'use_reentrent'.*use_reentrant",
        ),
        (
            {"trainer": {"max_steps": 1, "gradient_checkpointing_kwargs": {"x": 1}}},
            "ng_kwargs has no option 'x'; known",
        ),
        (
            {"trainer": {"max_steps": 1, "neftune_noise_alpha": -5.0}},
            "neftune_noise_alpha is -5.0; it must be at least",
        ),
        (
            {"trainer": {"max_steps": 1, "accelerator_config": {"split_batches": True}}},
            "accelerator_config.split_batches, which would .*; remove it, and set per_device_train_batch_size",
        ),
    ],
)
def test_impossible_recipes_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict({**MINIMAL, **change})


def test_options_that_are_read_are_taken() -> None:
    for options in (
        {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true"},
        {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 2}},
        {"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {}},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
        {"activation_checkpointing_kwargs": {"use_reentrant": True, "preserve_rng_state": False, "every_n_layers": 2}},
        {"neftune_noise_alpha": 0},
        {"accelerator_config": {"split_batches": False, "gradient_accumulation_kwargs": {"sync_each_batch": True}}},
    ):
        assert Recipe.from_dict({**MINIMAL, "trainer": {"max_steps": 1, **options}}).trainer["max_steps"] == 1


@pytest.mark.parametrize("name", ["name", "corpus"])
def test_missing_keys_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is missing; a recipe needs at least name and corpus"):
        Recipe.from_dict({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize("name", NOT_THE_TRAINERS)
def test_what_is_not_the_trainers_to_choose_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[trainer\] sets {name}, which a recipe cannot choose"):
        Recipe.from_dict({**MINIMAL, "trainer": {"max_steps": 1, name: 1}})


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_what_would_have_no_effect_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[trainer\] sets {name}, which would have no effect: .*; remove it"):
        Recipe.from_dict({**MINIMAL, "trainer": {"max_steps": 1, name: 1}})


@pytest.mark.parametrize("name", NOT_THE_MODELS)
def test_what_training_sets_in_a_model_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[model\] sets {name}, which a recipe cannot choose: .*; remove it"):
        Recipe.from_dict({**MINIMAL, "model": {name: 1}})


def test_a_type_of_weights_is_refused_as_a_setting_too() -> None:
    with pytest.raises(ConfigError, match=r"set trainer\.bf16 = true; remove it"):
        Recipe.load("small-rope", settings=["dtype=bfloat16"])


def test_a_decay_that_begins_before_the_warm_up_ends_is_noticed() -> None:
    assert all(not below_full_rate(Recipe.load(name).trainer) for name in bundled_recipes())
    short = Recipe.load("small-rope", settings=["max_steps=2_000"]).trainer
    assert "warm-up (200 steps) and decay (1,875) need more than the 2,000 steps" in below_full_rate(short)
    assert not below_full_rate({**short, "max_steps": 2_075})
    assert not below_full_rate({**short, "lr_scheduler_kwargs": {"num_decay_steps": 500}})
    assert below_full_rate({**short, "max_steps": 2_075, "warmup_steps": 0.1})  # a fraction of all steps


def test_an_unknown_recipe_is_refused_and_the_bundled_ones_named() -> None:
    said = r"there is no recipe 'biligual'; give a TOML file or one of graft-.*, published-"
    with pytest.raises(ConfigError, match=said):
        Recipe.load("biligual")
    with pytest.raises(ConfigError, match=r"there is no recipe 'small-per-lyer'; did you mean small-per-layer or "):
        Recipe.load("small-per-lyer")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe"])
def test_an_unreadable_recipe_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.toml cannot be read: .*; give a TOML file in UTF-8"):
        Recipe.load(path)


def test_a_table_that_is_none_in_the_file_is_refused_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\ncorpus = "c"\nincrements = 5\n[trainer]\nmax_steps = 2\n')
    with pytest.raises(ConfigError, match="increments is 5; it must be a table"):
        Recipe.load(path)
    assert Recipe.load(path, overrides={"increments": {"scope": "shared"}}).increments == {"scope": "shared"}


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    for name in ("", tmp_path):
        with pytest.raises(ConfigError, match=f"the recipe '{name}' is no file; give a TOML file or one of graft-"):
            Recipe.load(name)


def test_a_recipe_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ncorpus = "c"\n[trainer]\nmax_steps = 2\n')
    assert Recipe.load(path) == Recipe.from_dict(tomllib.loads(path.read_text()))
