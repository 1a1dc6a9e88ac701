"""Transformers and PEFT never read a graft without its increments; with this package imported they read it rightly."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedModel
from transformers import pipeline as make_pipeline

from howfar.errors import CheckpointError, ConfigError, UnsupportedModelError
from howfar.models.bundled import FOLDER
from howfar.models.disguise import GRAFT_FILE, PEFT_FILES
from howfar.models.grafts import save_graft
from howfar.models.loading import load, save, tokenizer_of
from howfar.models.lora import add_lora, merge_lora
from howfar.models.manifest import MANIFEST_FILE
from howfar.models.pretrained import load_pretrained
from howfar.positions import IncrementConfig, attach, increments_of, override
from support.grafts import IDS, logits, make_base, stir

KINDS = ["increments", "lora", "whole", "sharded"]


def make_graft(base: Path, folder: Path, kind: str) -> Path:
    model = load(base)
    if kind == "lora":
        add_lora(model, {"r": 2})
        stir(model, ".lora_")
    attach(model, IncrementConfig())
    stir(model, "" if kind in ("whole", "sharded") else "increments.")
    if kind == "sharded":
        shard(model)
    save(model, folder)
    return folder


def shard(model: PreTrainedModel) -> None:
    """Let a model write several files, as large ones do."""
    whole = model.save_pretrained
    model.save_pretrained = lambda *args, **kwargs: whole(*args, max_shard_size="20KB", **kwargs)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@pytest.fixture(scope="module")
def grafts(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("grafts")
    return {kind: make_graft(base, place / kind, kind) for kind in KINDS}


ATTEMPTS = """
import json, sys
from pathlib import Path
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, pipeline
from peft import AutoPeftModelForCausalLM, PeftModel

base, *folders = sys.argv[1:]
ways = {
    "AutoModelForCausalLM": AutoModelForCausalLM.from_pretrained,
    "AutoModel": AutoModel.from_pretrained,
    "AutoConfig": AutoConfig.from_pretrained,
    "LlamaForCausalLM": LlamaForCausalLM.from_pretrained,
    "pipeline": lambda folder: pipeline("text-generation", model=folder),
    "PeftModel": lambda folder: PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), folder),
    "AutoPeftModelForCausalLM": AutoPeftModelForCausalLM.from_pretrained,
}
said = {}
for folder in folders:
    for name, way in ways.items():
        try:
            said[f"{Path(folder).name} {name}"] = "loaded a " + type(way(folder)).__name__
        except Exception as error:
            said[f"{Path(folder).name} {name}"] = str(error)
    said[f"{Path(folder).name} AutoTokenizer"] = AutoTokenizer.from_pretrained(folder)("the cat").input_ids
assert not [name for name in sys.modules if name.split(".")[0] == "howfar"]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(base: Path, grafts: dict[str, Path]) -> dict[str, Any]:
    """What other software says of each graft when this package is not imported."""
    command = [sys.executable, "-c", ATTEMPTS, *map(str, (base, *grafts.values()))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


REFUSALS = {
    "AutoModelForCausalLM": "model type `howfar_graft` but Transformers does not recognize",
    "AutoModel": "model type `howfar_graft` but Transformers does not recognize",
    "AutoConfig": "model type `howfar_graft` but Transformers does not recognize",
    "pipeline": "model type `howfar_graft` but Transformers does not recognize",
    "LlamaForCausalLM": "this is a graft of howfar: import howfar, then load it with",
    "PeftModel": "Can't find 'adapter_config.json'",
    "AutoPeftModelForCausalLM": "Can't find 'adapter_config.json'",
}


@pytest.mark.parametrize("way", REFUSALS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_software_refuses_a_graft_and_says_why(said: dict[str, Any], kind: str, way: str) -> None:
    assert REFUSALS[way] in said[f"{kind} {way}"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_s_class_refuses_it_though_this_package_is_imported(grafts: dict[str, Path], kind: str) -> None:
    with pytest.raises(ValueError, match="this is a graft of howfar: import howfar, then load it with AutoModel"):
        LlamaForCausalLM.from_pretrained(grafts[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_its_tokenizer_needs_only_transformers(base: Path, said: dict[str, Any], kind: str) -> None:
    expected = AutoTokenizer.from_pretrained(base)("the cat").input_ids
    assert said[f"{kind} AutoTokenizer"] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_auto_class_gives_what_howfar_loads(grafts: dict[str, Path], kind: str) -> None:
    expected = load(grafts[kind])
    model = AutoModelForCausalLM.from_pretrained(grafts[kind])
    assert type(model) is LlamaForCausalLM
    assert not model.training
    assert torch.equal(logits(model), logits(expected))
    with override(expected, lambda layer, increments: torch.ones_like(increments)):
        assert not torch.equal(logits(model), logits(expected))
    assert increments_of(model).config == increments_of(expected).config
    assert model.name_or_path == str(grafts[kind])
    assert tokenizer_of(model)("the cat").input_ids == tokenizer_of(expected)("the cat").input_ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_graft_that_the_auto_class_gave_is_saved_and_grows(
    grafts: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    model = stir(AutoModelForCausalLM.from_pretrained(str(grafts[kind])), "increments.")
    save(model, tmp_path / "again")
    names = [{file.name for file in folder.iterdir()} for folder in (tmp_path / "again", grafts[kind])]
    if kind != "sharded":
        assert names[0] == names[1]
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "again")), logits(model))


@pytest.mark.parametrize("kind", ["increments", "lora", "whole"])
@pytest.mark.parametrize("option", [{"dtype": torch.bfloat16}, {"torch_dtype": "bfloat16"}, {"dtype": "bfloat16"}])
def test_the_type_of_the_weights_is_passed_on(grafts: dict[str, Path], kind: str, option: dict[str, Any]) -> None:
    model = AutoModelForCausalLM.from_pretrained(grafts[kind], **option)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in increments_of(model).parameters()} == {torch.float32}
    assert torch.equal(logits(model), logits(load(grafts[kind], dtype=torch.bfloat16)))


@pytest.mark.parametrize("kind", ["increments", "lora", "whole"])
def test_further_options_are_passed_on(grafts: dict[str, Path], kind: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        grafts[kind], attn_implementation="eager", device_map="cpu", dtype="auto", trust_remote_code=True, variant=None
    )
    assert model.config._attn_implementation.removeprefix("howfar_") == "eager"
    assert torch.equal(logits(model), logits(load(grafts[kind], attn_implementation="eager")))


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"output_loading_info": True}, "output_loading_info"),
        ({"output_attentions": True}, "output_attentions"),
        ({"max_position_embeddings": 64}, "max_position_embeddings"),
        ({"subfolder": "checkpoint-1"}, "subfolder"),
    ],
)
def test_an_option_that_a_graft_does_not_take_is_named(
    grafts: dict[str, Path], option: dict[str, Any], named: str
) -> None:
    if named == "subfolder":
        (grafts["whole"] / "checkpoint-1").mkdir(exist_ok=True)
        shutil.copy(grafts["whole"] / "config.json", grafts["whole"] / "checkpoint-1" / "config.json")
    try:
        with pytest.raises(ConfigError, match=f"cannot be loaded with {named}; load it without"):
            AutoModelForCausalLM.from_pretrained(grafts["whole"], **option)
    finally:
        shutil.rmtree(grafts["whole"] / "checkpoint-1", ignore_errors=True)


def test_a_revision_on_the_hub_is_passed_on(grafts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(grafts["increments"])

    config = AutoConfig.from_pretrained(grafts["increments"])
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("transformers.models.auto.auto_factory.resolve_revision", lambda name, revision, **_: revision)
    monkeypatch.setattr("transformers.models.auto.auto_factory.find_adapter_config_file", lambda *_, **__: None)
    model = AutoModelForCausalLM.from_pretrained(
        "me/graft", config=config, revision="v2", token="secret", cache_dir="elsewhere", local_files_only=True
    )
    assert [name for name, _ in asked] == ["me/graft"]
    wanted = {"revision": "v2", "token": "secret", "cache_dir": "elsewhere", "local_files_only": True}
    assert wanted.items() <= asked[0][1].items()
    assert torch.equal(logits(model), logits(load(grafts["increments"])))


@pytest.mark.parametrize("kind", ["increments", "lora", "whole"])
def test_a_pipeline_generates_with_the_increments(grafts: dict[str, Path], kind: str) -> None:
    made = make_pipeline("text-generation", model=str(grafts[kind]))
    assert torch.equal(logits(made.model), logits(load(grafts[kind])))


@pytest.mark.parametrize("kind", ["increments", "lora", "whole"])
def test_a_model_without_its_head_is_refused_by_name(grafts: dict[str, Path], kind: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"without its output layer.*; load it with AutoModelForCausalLM"):
        AutoModel.from_pretrained(grafts[kind])
    with pytest.raises(UnsupportedModelError, match="without its output layer"):
        AutoModel.from_pretrained(FOLDER / "bilingual-shared")
    with pytest.raises(UnsupportedModelError, match="without its output layer"):
        AutoModel.from_config(AutoConfig.from_pretrained(grafts[kind]))
    model = load(grafts[kind])  # what the message says gives the hidden states
    with torch.no_grad():
        assert torch.equal(model.lm_head(model.base_model(IDS).last_hidden_state), logits(model))


def test_a_configuration_alone_makes_no_graft(grafts: dict[str, Path]) -> None:
    config = AutoConfig.from_pretrained(grafts["whole"])
    assert config.model_type == "howfar_graft"
    assert config.base_config["hidden_size"] == 32
    with pytest.raises(UnsupportedModelError, match=r"stored elsewhere; load the graft with from_pretrained"):
        AutoModelForCausalLM.from_config(config)


def baseline(base: Path, *, whole: bool) -> PreTrainedModel:
    model = load(base)
    add_lora(model, {"r": 2})
    stir(model, ".lora_")
    if whole:
        merge_lora(model)
    return model


@pytest.mark.parametrize("whole", [False, True])
def test_a_baseline_is_a_model_that_all_software_reads(base: Path, tmp_path: Path, whole: bool) -> None:
    model = baseline(base, whole=whole)
    model.config.use_cache, model.config.pad_token_id = False, 0  # as Transformers' Trainer does
    save_graft(model, tmp_path / "baseline", whole=whole)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "baseline").eval()), logits(model))
    assert torch.equal(logits(load(tmp_path / "baseline")), logits(model))


def test_an_adapter_around_other_settings_than_the_base_has_is_not_for_peft(base: Path, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(base)
    config.rms_norm_eps = 1e-2
    model = load_pretrained(base, config=config, dtype=torch.float32)
    add_lora(model, {"r": 2})
    save(stir(model, ".lora_"), tmp_path / "graft")
    assert not (tmp_path / "graft" / PEFT_FILES.config).exists()
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "graft")), logits(model))


def without_base_config(config: dict[str, Any]) -> None:
    config["base_config"] = ["llama"]


def of_no_type(config: dict[str, Any]) -> None:
    del config["base_config"]["model_type"]


def of_an_impossible_size(config: dict[str, Any]) -> None:
    config["base_config"]["hidden_size"] = -1


def of_a_larger_model(config: dict[str, Any]) -> None:
    config["base_config"]["num_hidden_layers"] = 10**6


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_base_config, "does not hold the configuration of the graft's base model; save or download"),
        (of_no_type, "does not hold the configuration of the graft's base model; save or download"),
        (of_an_impossible_size, "hidden_size is '-1'"),
        (of_a_larger_model, "asks for 1,000,000 layers"),
    ],
)
def test_an_impossible_configuration_of_the_base_is_refused(
    grafts: dict[str, Path], tmp_path: Path, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    folder = shutil.copytree(grafts["whole"], tmp_path / "spoilt")
    (folder / MANIFEST_FILE).unlink()
    config = json.loads((folder / "config.json").read_text())
    spoil(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=said):
        load(folder)
    with pytest.raises(CheckpointError, match=said):
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["increments", "lora", "whole"])
def test_a_graft_whose_description_is_gone_is_refused(grafts: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(grafts[kind], tmp_path / "graft")
    (folder / GRAFT_FILE).unlink()
    (folder / MANIFEST_FILE).unlink()
    (folder / "increments.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"howfar\.json is missing; save or download the graft again"):
        load(folder)
    with pytest.raises(CheckpointError, match=r"howfar\.json is missing; save or download the graft again"):
        AutoModelForCausalLM.from_pretrained(folder)
