"""Grafts on disk: what was saved is what is loaded, and nothing else is loaded for it."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from howfar.errors import CheckpointError, MissingExtraError, ModelNotFoundError, OutputError
from howfar.models.description import read_description
from howfar.models.disguise import GRAFT_FILE, OWN_FILES, PEFT_FILES
from howfar.models.fingerprint import fingerprint
from howfar.models.folders import revision_of
from howfar.models.grafts import COUNTS_FILE, load_graft
from howfar.models.increments import INCREMENTS_FILE
from howfar.models.loading import load, save, tokenizer_of
from howfar.models.lora import adapter_of, add_lora, merge_lora
from howfar.models.manifest import MANIFEST_FILE
from howfar.models.origin import origin_of
from howfar.models.publishing import push_to_hub
from howfar.positions import IncrementConfig, attach, increments_of, override
from support.grafts import logits, make_base, stir
from support.models import tiny, tokens

Stir = Callable[[PreTrainedModel], PreTrainedModel]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


def grafted(base: Path, scope: str = "shared", *, lora: bool = False) -> PreTrainedModel:
    model = load(base)
    if lora:
        add_lora(model, {"r": 2})
        stir(model, ".lora_")
    attach(model, IncrementConfig(scope=scope))
    return stir(model, "increments.")


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_a_saved_graft_loads_bit_for_bit(base: Path, tmp_path: Path, scope: str, lora: bool) -> None:
    model = grafted(base, scope, lora=lora)
    save(model, tmp_path / "graft")
    assert not list((tmp_path / "graft").glob("model*"))
    again = load(tmp_path / "graft")
    assert torch.equal(logits(again), logits(model))
    assert increments_of(again).config.scope == scope
    assert (adapter_of(again) is not None) == lora
    assert tokenizer_of(again)("the cat").input_ids == tokenizer_of(model)("the cat").input_ids
    save(again, tmp_path / "again")
    assert torch.equal(logits(load(tmp_path / "again")), logits(model))


@pytest.mark.parametrize("part", ["", "layers.1.mlp.down_proj"])
def test_changed_base_weights_are_all_saved(base: Path, tmp_path: Path, part: str) -> None:
    model = stir(grafted(base), part)
    save(model, tmp_path / "graft")
    again = load(tmp_path / "graft")
    assert torch.equal(logits(again), logits(model))


def test_a_baseline_without_increments_loads_as_such(base: Path, tmp_path: Path) -> None:
    from howfar.models.grafts import save_graft

    model = load(base)
    add_lora(model, {"r": 2})
    save_graft(stir(model, ".lora_"), tmp_path)
    again = load(tmp_path)
    assert torch.equal(logits(again), logits(model))
    assert not any("increments" in name for name, _ in again.named_parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_graft_loads_in_half_precision_and_keeps_its_increments_in_float32(
    base: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    save(grafted(base, lora=True), tmp_path / "graft")
    model = load(tmp_path / "graft", dtype=dtype)
    assert model.lm_head.weight.dtype == dtype
    assert {parameter.dtype for parameter in increments_of(model).parameters()} == {torch.float32}
    assert torch.equal(model.lm_head.weight, load(base).lm_head.weight.to(dtype))


def test_a_graft_of_a_half_precision_model_is_rebuilt_in_its_own_type(base: Path, tmp_path: Path) -> None:
    model = load(base, dtype=torch.bfloat16)
    add_lora(model, {"r": 2})
    attach(stir(model, ".lora_"), IncrementConfig())
    save(stir(model, "increments."), tmp_path / "graft")
    again = load(tmp_path / "graft")
    assert again.dtype == torch.bfloat16
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("made", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("read", [torch.float32, torch.bfloat16, torch.float16])
def test_a_graft_is_read_and_saved_again_in_any_type_without_its_bases_weights(
    base: Path, tmp_path: Path, made: torch.dtype, read: torch.dtype
) -> None:
    model = load(base, dtype=made)
    attach(model, IncrementConfig())
    save(model, tmp_path / "graft")
    save(load(tmp_path / "graft", dtype=read), tmp_path / "again")
    again = load(tmp_path / "again")
    assert not read_description(tmp_path / "again").whole
    assert again.dtype == read
    assert torch.equal(again.lm_head.weight, load(base, dtype=read).lm_head.weight)


@pytest.mark.parametrize(("name", "dtype"), [("gpt_oss", torch.float16), ("ernie4_5_moe", torch.bfloat16)])
def test_what_transformers_keeps_in_float32_stays_so_in_a_graft(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    experts = {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16, "moe_layer_start_index": 0}
    options = {"model_type": name, **experts} if name == "ernie4_5_moe" else {}
    tiny("llama" if options else name, **options).save_pretrained(tmp_path / "base")
    model = load(tmp_path / "base", dtype=dtype)
    types = {key: value.dtype for key, value in model.named_parameters()}
    assert torch.float32 in types.values()
    for of in (load(tmp_path / "base"), model):  # a graft in float32 as well, read as the other type
        attach(of, IncrementConfig())
        save(of, tmp_path / "graft")
        again = load(tmp_path / "graft", dtype=dtype)
        assert {key: value.dtype for key, value in again.named_parameters() if key in types} == types


def test_merging_lora_keeps_the_increments(base: Path, tmp_path: Path) -> None:
    model = grafted(base, "per_layer", lora=True)
    before, networks = logits(model), [parameter.clone() for parameter in increments_of(model).parameters()]
    merge_lora(model)
    assert not any("lora" in name for name, _ in model.named_modules())
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(*pair) for pair in zip(increments_of(model).parameters(), networks, strict=True))
    save(model, tmp_path / "merged")
    again = load(tmp_path / "merged")
    assert torch.equal(logits(again), logits(model))
    assert adapter_of(again) is None


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
def test_peft_opens_the_adapter_when_its_files_have_the_names_that_it_expects(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model = grafted(base, lora=True)
    save(model, tmp_path / "graft")
    for own, usual in zip(OWN_FILES, PEFT_FILES, strict=True):
        (tmp_path / "graft" / own).rename(tmp_path / "graft" / usual)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "graft").eval()
    with override(model, lambda layer, increments: torch.ones_like(increments)):
        assert torch.equal(logits(theirs), logits(model))


def test_training_counts_travel_with_a_graft(base: Path, tmp_path: Path) -> None:
    model = grafted(base)
    assert origin_of(model).counts is None
    origin_of(model).counts = torch.arange(320)
    save(model, tmp_path / "graft")
    assert (tmp_path / "graft" / COUNTS_FILE).is_file()
    assert torch.equal(origin_of(load(tmp_path / "graft")).counts, torch.arange(320))


@pytest.mark.parametrize(
    "tensors", [{"count": torch.arange(320)}, {"counts": torch.ones(320)}, {"counts": torch.tensor(3)}, {}]
)
def test_other_tensors_in_the_place_of_training_counts_are_refused(base: Path, tmp_path: Path, tensors) -> None:
    save(grafted(base), tmp_path / "graft")
    (tmp_path / "graft" / MANIFEST_FILE).unlink()
    save_file(tensors, tmp_path / "graft" / COUNTS_FILE)
    with pytest.raises(CheckpointError, match="holds no count for each token; save the graft again"):
        load(tmp_path / "graft")


def test_the_fingerprint_is_that_of_the_base_whatever_its_type_and_what_was_added(base: Path) -> None:
    expected = fingerprint(load(base))
    assert fingerprint(load(base, dtype=torch.bfloat16)) == expected
    assert fingerprint(grafted(base, "per_layer", lora=True)) == expected
    assert fingerprint(stir(load(base), "layers.2.self_attn.k_proj")) != expected


@pytest.fixture
def saved(base: Path, tmp_path: Path) -> Path:
    """A graft with an adapter and no list of its files, and its base at hand to be exchanged."""
    own = shutil.copytree(base, tmp_path / "base")
    save(grafted(own, lora=True), tmp_path / "graft")
    (tmp_path / "graft" / MANIFEST_FILE).unlink()
    return tmp_path / "graft"


def test_another_base_is_refused(saved: Path) -> None:
    shutil.rmtree(saved.parent / "base")
    make_base(saved.parent / "base", seed=1)
    with pytest.raises(CheckpointError, match=r"base is not the model that was grafted in .*fingerprint is \w{12}"):
        load(saved)


def test_a_base_with_other_settings_is_refused(saved: Path) -> None:
    path = saved.parent / "base" / "config.json"
    config = json.loads(path.read_text())
    config["rope_parameters"]["rope_theta"] = 5e5
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is not the model that was grafted"):
        load(saved)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Granite", "attention_multiplier", 0.5),
        ("Granite", "logits_scaling", 8.0),
        ("Gemma2", "final_logit_softcapping", 10.0),
        ("Cohere", "logit_scale", 0.25),
    ],
)
def test_the_fingerprint_tells_settings_that_change_the_output(kind: str, name: str, value: float) -> None:
    import transformers

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 320, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0}
    config = getattr(transformers, f"{kind}Config")(**sizes, **heads)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    before, print_before = logits(model), fingerprint(model)
    config.use_cache = False
    assert fingerprint(model) == print_before
    setattr(config, name, value)
    changed = type(model)(config).eval()
    changed.load_state_dict(model.state_dict())
    assert not torch.allclose(logits(changed), before)
    assert fingerprint(changed) != print_before


@pytest.mark.parametrize(
    "options",
    [{}, {"global_head_dim": 8}, {"num_global_key_value_heads": 1, "attention_k_eq_v": True}],
)
@pytest.mark.parametrize("whole", [False, True])
def test_a_graft_of_a_model_whose_layers_have_heads_of_different_sizes(
    tmp_path: Path, options: dict[str, Any], whole: bool
) -> None:
    tiny("gemma4_text", **options).save_pretrained(tmp_path / "base")
    model, ids = load(tmp_path / "base"), tokens()
    attach(model, IncrementConfig())
    stir(model, "" if whole else "increments.")
    save(model, tmp_path / "graft")
    again = load(tmp_path / "graft")
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert read_description(tmp_path / "graft").whole == whole


_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("granitemoehybrid", {}),
        ("falcon_h1", {**_MAMBA, "mamba_d_ssm": 64, "mamba_n_groups": 1, "head_dim": 8}),
        ("bamba", {**_MAMBA, "attn_layer_indices": [1]}),
    ],
)
@pytest.mark.parametrize("limit", [None, [0.0, float("inf")], [0.0, 0.5]])
def test_settings_that_are_infinite_are_read_back_with_all_weights(
    tmp_path: Path, name: str, options: dict[str, Any], limit: list[float] | None
) -> None:
    limits = {} if limit is None else {"time_step_limit": limit}
    kind = {} if name == "granitemoehybrid" else {"model_type": name}
    tiny("llama" if kind else name, **kind, **options, **limits).save_pretrained(tmp_path / "base")
    model, ids = load(tmp_path / "base"), tokens()
    attach(model, IncrementConfig())
    save(stir(model), tmp_path / "graft")
    again = load(tmp_path / "graft")
    assert read_description(tmp_path / "graft").whole
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert list(again.config.time_step_limit) == list(model.config.time_step_limit)


def test_the_fingerprint_tells_options_in_which_layers_differ() -> None:
    model = tiny("mistral", sliding_window=6)
    prints = [fingerprint(model)]
    for layer, window in ((0, 4), (0, 5), (1, 4)):
        model.config.per_layer_config = {layer: {"sliding_window": window}}
        prints.append(fingerprint(model))
    assert len(set(prints)) == 4
    model.config.allow_global_per_layer_attribute_access = True
    assert fingerprint(model) == prints[-1]
    model.config.per_layer_config = {0: {"intermediate_size": 24}}
    assert fingerprint(model) == prints[0]


def test_a_lost_adapter_is_missed(base: Path, tmp_path: Path) -> None:
    save(grafted(base, lora=True), tmp_path / "graft")
    (tmp_path / "graft" / OWN_FILES.config).unlink()
    with pytest.raises(CheckpointError, match=r"howfar_adapter_config\.json is missing or damaged"):
        load(tmp_path / "graft")
    (tmp_path / "graft" / MANIFEST_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing; save or download the graft again"):
        load(tmp_path / "graft")


def test_a_base_that_moved_is_found_where_the_description_says(saved: Path) -> None:
    expected = logits(load(saved))
    moved = (saved.parent / "base").rename(saved.parent / "elsewhere")
    with pytest.raises(ModelNotFoundError, match=r"the base model of the graft in .* is missing.*base\.name in .*json"):
        load(saved)
    description = json.loads((saved / GRAFT_FILE).read_text())
    description["base"]["name"] = str(moved)
    (saved / GRAFT_FILE).write_text(json.dumps(description))
    assert torch.equal(logits(load(saved)), expected)


@pytest.mark.parametrize("file", [INCREMENTS_FILE, OWN_FILES.weights])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, name: tensors.pop(name), "{name} is missing"),
        (lambda tensors, name: tensors.update(more=tensors[name].clone()), "more is left over"),
        (lambda tensors, name: tensors.update({name: tensors[name][None].clone()}), "{name} has shape .* instead of"),
    ],
)
def test_tensors_missing_left_over_or_reshaped_are_refused(
    saved: Path, file: str, change: Callable[[dict[str, Tensor], str], object], message: str
) -> None:
    tensors = load_file(saved / file)
    name = sorted(tensors)[-1]
    change(tensors, name)
    save_file(tensors, saved / file)
    expected = message.format(name=name.removeprefix("base_model.model."))
    with pytest.raises(CheckpointError, match=f"does not fit the model: {expected}"):
        load(saved)


@pytest.mark.parametrize("file", [INCREMENTS_FILE, OWN_FILES.weights])
def test_files_cut_short_or_gone_are_refused(saved: Path, file: str) -> None:
    (saved / file).write_bytes((saved / file).read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"{file} is missing or damaged"):
        load(saved)
    (saved / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing or damaged"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "cannot be read"),
        ({"format_version": 99}, "has format version 99, this howfar reads 3"),
        ({"dtype": "manual_seed"}, "cannot be read"),
        ({"base": {"name": "x"}}, "cannot be read"),
        ({"increments": {"scop": "shared"}}, "did you mean 'scope'"),
    ],
)
def test_a_damaged_description_is_refused(saved: Path, change: dict[str, object], message: str) -> None:
    description = json.loads((saved / GRAFT_FILE).read_text())
    (saved / GRAFT_FILE).write_text(json.dumps({**description, **change}))
    with pytest.raises(CheckpointError, match=message):
        load(saved)
    (saved / GRAFT_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_graft(saved)


def test_an_adapter_for_another_architecture_is_refused(saved: Path) -> None:
    path = saved / OWN_FILES.config
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_modules": ["no_such_layer"]}))
    with pytest.raises(CheckpointError, match=r"the adapter in .* does not fit LlamaForCausalLM"):
        load(saved)


def test_without_peft_an_adapter_asks_for_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '.\[lora\]'"):
        load(saved)


def test_a_peft_that_is_too_old_for_transformers_is_named(base: Path, saved: Path, monkeypatch) -> None:
    monkeypatch.setattr("transformers.integrations.peft.MIN_PEFT_VERSION", "1000.0")
    for begin in (lambda: load(saved), lambda: add_lora(load(base), {"r": 2})):
        with pytest.raises(MissingExtraError, match=r"works with PEFT 1000.0 or newer, and [0-9.]+ is installed"):
            begin()


def test_an_adapter_around_changed_weights_is_not_saved(base: Path, tmp_path: Path) -> None:
    model = stir(grafted(base, lora=True))
    with pytest.raises(CheckpointError, match="merge_lora"):
        save(model, tmp_path / "graft")
    assert not (tmp_path / "graft").exists()


def test_a_model_from_nowhere_is_not_saved(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(load(base).config)
    model.name_or_path = model.config._name_or_path = ""
    attach(model)
    with pytest.raises(ModelNotFoundError, match="came from no folder or Hub id"):
        save(model, tmp_path / "graft")
    assert not (tmp_path / "graft").exists()


class Hub:
    """What the Hub's client was asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []

    def create_repo(self, repository: str, **options: object) -> None:
        self.calls.append((repository, options))

    def upload_folder(self, **options: object) -> "Hub":
        self.calls.append(("upload", options))
        return self

    def upload_file(self, *, path_or_fileobj: bytes, **options: object) -> None:
        self.calls.append(("record", json.loads(path_or_fileobj)))

    commit_url = "https://hub/commit"


def test_a_graft_of_a_model_on_the_hub_is_uploaded(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    with pytest.raises(CheckpointError, match="which exists on this machine only"):
        push_to_hub(saved, "me/graft")
    assert not hub.calls
    description = json.loads((saved / GRAFT_FILE).read_text())
    description["base"] |= {"name": "owner/model", "revision": "abc"}
    (saved / GRAFT_FILE).write_text(json.dumps(description))
    assert push_to_hub(saved, "me/graft", private=True) == "https://hub/commit"
    (repository, options), (_, upload) = hub.calls
    assert (repository, options["private"]) == ("me/graft", True)
    assert upload["folder_path"] == saved


def test_where_files_lay_is_not_uploaded(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with the graft, all of whose weights are in it, nor with the record of its training."""
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    save(stir(grafted(base)), tmp_path / "whole")
    files = [{"name": "C:\\texts\\notes.txt", "bytes": 3}, {"name": "texts/a b.txt"}, {"name": "~/mine/c.txt"}]
    record = {"recipe": {"corpus": str(tmp_path / "corpus"), "base": str(base)}, "corpus": {"sources": files}}
    (tmp_path / "whole" / "training.json").write_text(json.dumps(record))
    push_to_hub(tmp_path / "whole", "me/graft")
    _, (_, upload), (_, sent) = hub.calls
    assert "training.json" in upload["ignore_patterns"]
    assert sent["recipe"] == {"corpus": "corpus", "base": base.name}
    assert [file["name"] for file in sent["corpus"]["sources"]] == ["notes.txt", "texts/a b.txt", "c.txt"]
    for file in (tmp_path / "whole").iterdir():
        if file.name != "training.json":
            assert str(base.parent).encode() not in file.read_bytes(), file


def test_an_upload_that_fails_is_one_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Hub):
        def create_repo(self, repository: str, **options: object) -> None:
            raise ConnectionError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.HfApi", Broken)
    save(stir(grafted(base)), tmp_path / "whole")
    with pytest.raises(OutputError, match=r"could not be uploaded to 'me/graft' \(no route\); check the name"):
        push_to_hub(tmp_path / "whole", "me/graft")


def test_a_folder_of_snapshots_is_no_download(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(base, tmp_path / "snapshots" / "step100")
    monkeypatch.chdir(tmp_path)
    model = load("snapshots/step100")
    attach(model, IncrementConfig())
    save(model, tmp_path / "graft")
    assert read_description(tmp_path / "graft").base.revision is None
    monkeypatch.chdir("/")
    load(tmp_path / "graft")


def test_a_folder_in_the_hubs_cache_is_a_local_base(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--model" / "snapshots" / (40 * "a")
    shutil.copytree(base, folder)
    model = load(folder)
    attach(model, IncrementConfig())
    save(model, tmp_path / "graft")
    assert read_description(tmp_path / "graft").base.name == str(folder)
    with pytest.raises(CheckpointError, match="exists on this machine only"):
        push_to_hub(tmp_path / "graft", "me/graft")


def test_a_download_is_known_by_its_commit(tmp_path: Path) -> None:
    commit = 40 * "a"
    assert revision_of(tmp_path / "models--owner--model" / "snapshots" / commit) == commit
    assert revision_of(tmp_path / "snapshots" / commit) is None
