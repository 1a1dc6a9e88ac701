import copy
import gc
import inspect
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaModel

from howfar.errors import AlreadyAttachedError, NoIncrementsError, UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, increments_of, override, record
from howfar.positions.arguments import CACHE_NAME, CACHE_NAMES, LayerCall
from howfar.positions.decoder import find_decoder, probe
from support.models import gradients, largest_difference, stir, tiny, tokens

SHARED, PER_LAYER = IncrementConfig(scope="shared"), IncrementConfig()
PER_HEAD = IncrementConfig(per_head=True)


def test_networks_are_submodules_named_increments() -> None:
    model = tiny()
    attach(model, SHARED)
    assert [name for name, _ in model.named_modules() if name.endswith("increments")] == ["model.increments"]
    detach(model)
    increments = attach(model, PER_HEAD)
    names = [name for name, _ in model.named_modules() if name.endswith("increments")]
    assert names == ["model.layers.0.increments", "model.layers.1.increments"]
    assert {network.output.out_features for network in increments.networks} == {2}
    ours, all_parameters = increments.parameters(), list(map(id, model.parameters()))
    assert len(ours) == 10
    assert all(id(parameter) in all_parameters for parameter in ours), "an optimiser over the model trains them"


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_detaching_leaves_no_trace(config: IncrementConfig) -> None:
    model, token_ids = tiny(), tokens()
    expected, keys = model(token_ids).logits, set(model.state_dict())
    implementation = model.config._attn_implementation
    stir(attach(model, config))
    detach(model)
    assert torch.equal(model(token_ids).logits, expected)
    assert set(model.state_dict()) == keys
    assert model.config._attn_implementation == implementation
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_attaching_twice_and_detaching_nothing_are_refused() -> None:
    model = tiny()
    for function in (detach, increments_of):
        with pytest.raises(NoIncrementsError, match=r"^this LlamaForCausalLM has no increments.*howfar.attach"):
            function(model)
    attach(model)
    with pytest.raises(AlreadyAttachedError, match=r"^this LlamaForCausalLM has increments already; call"):
        attach(model)
    detach(model)
    with pytest.raises(NoIncrementsError):
        detach(model)


@pytest.mark.parametrize("name", ["attention_mask", "position_ids", CACHE_NAME])
def test_a_decoder_with_an_argument_of_another_name_is_refused(name: str) -> None:
    """As a new version of Transformers may have it: what it passes would be overlooked."""
    model = tiny()
    known = inspect.signature(LlamaModel.forward).parameters

    class Renamed(LlamaModel):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    parameters = [value.replace(name="new_name") if key == name else value for key, value in known.items()]
    Renamed.forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    model.model.__class__ = Renamed
    with pytest.raises(UnsupportedModelError, match=rf"^Renamed.forward takes .*new_name.*but no .*{name}.*install"):
        attach(model)


@pytest.mark.parametrize("name", [*CACHE_NAMES, "store"])
def test_a_cache_is_found_by_any_name(name: str) -> None:
    cache, states = DynamicCache(), torch.zeros(1, 2, 4)
    assert LayerCall(("hidden_states", name), (states, cache), {}).cache() is cache
    assert LayerCall(("hidden_states",), (states,), {"use_cache": True, name: cache}).cache() is cache
    assert LayerCall(("hidden_states", name), (states, None), {"use_cache": True}).cache() is None


def test_a_refused_model_is_left_as_it_was() -> None:
    model, token_ids = tiny("stablelm"), tokens()
    expected, keys = model(token_ids).logits, set(model.state_dict())
    with pytest.raises(UnsupportedModelError) as refusal:
        attach(model, PER_HEAD)
    assert str(refusal.value) == (
        "StableLmForCausalLM cannot have positions per head: at positions 0, 1, 2, ... its output differs from "
        "what it was; use per_head=False for this model"
    )
    assert torch.equal(model(token_ids).logits, expected)
    assert set(model.state_dict()) == keys


def test_a_model_that_takes_positions_in_another_way_is_refused() -> None:
    model = tiny()
    model.model.layers[1].register_forward_pre_hook(odd_positions, with_kwargs=True)
    with pytest.raises(UnsupportedModelError, match=r"cannot have increments: at positions.*use another rotary"):
        attach(model)


def odd_positions(layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
    cos, sin = kwargs["position_embeddings"]
    return args, {**kwargs, "position_embeddings": (cos.roll(1, dims=1), sin)}


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
@pytest.mark.parametrize("sizes", [{}, {"num_global_key_value_heads": 1, "attention_k_eq_v": True}])
def test_layers_with_heads_of_different_sizes_and_numbers(config: IncrementConfig, sizes: dict[str, Any]) -> None:
    model, token_ids = tiny("gemma4_text", **sizes), tokens()
    expected = model(token_ids).logits
    if config.per_head and sizes:
        with pytest.raises(UnsupportedModelError, match="some of its layers have 1 key-value heads, others 2; use per"):
            attach(model, config)
        attach(model, SHARED)  # nothing was left
    else:
        attach(model, config)
    assert torch.equal(model(token_ids).logits, expected)


def test_layers_without_positions_do_not_count_for_positions_per_head() -> None:
    model = tiny("gemma4_text", num_global_key_value_heads=1, attention_k_eq_v=True)
    decoder = find_decoder(model)
    assert [decoder.num_key_value_heads(layers) for layers in ([0], [1], [0, 1])] == [{2}, {1}, {1, 2}]


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt_neox"])
@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_a_rotary_module_put_in_later_is_refused(name: str, config: IncrementConfig) -> None:
    """As for a longer context: layers would go on rotating by the previous one."""
    model, token_ids = tiny(name), tokens()
    expected = model(token_ids).logits
    attach(model, config)
    decoder = find_decoder(model)
    other = copy.deepcopy(decoder.rotary)
    for frequencies in other.buffers():
        frequencies.mul_(0.25)
    decoder.module.rotary_emb = other
    with pytest.raises(UnsupportedModelError, match=r"rotary module of \w+ was replaced.*howfar.attach then"):
        model(token_ids)
    detach(model)
    stretched = model(token_ids).logits
    assert not torch.allclose(stretched, expected, atol=1e-3)
    attach(model, config)
    assert torch.equal(model(token_ids).logits, stretched)


@pytest.mark.parametrize("removed", [0, 2])
def test_a_layer_keeps_its_network_where_others_are_removed(removed: int) -> None:
    model, token_ids = tiny(num_hidden_layers=4), tokens()
    stir(attach(model))
    kept = [layer for index, layer in enumerate(model.model.layers) if index != removed]
    inputs: dict[int, Tensor] = {}
    for place, layer in enumerate(kept):
        layer.register_forward_pre_hook(lambda _, args, place=place: inputs.__setitem__(place, args[0]))
    with record(model) as recording:
        del model.model.layers[removed]
        model(token_ids)
    found = [recording.increments[index] for index in range(4) if index != removed]
    for place, layer in enumerate(kept):
        assert torch.equal(found[place], layer.increments(inputs[place]))


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_replicas_of_data_parallelism_use_their_own_networks(config: IncrementConfig) -> None:
    """`nn.DataParallel` copies each module and its parameters; the hooks are those of the original."""
    model, token_ids = tiny(), tokens()
    stir(attach(model, config))
    expected = copy.deepcopy(model)
    for parameter in increments_of(expected).parameters():
        parameter.data.mul_(0.5)
    replica = replicated(model)
    assert torch.equal(replica(token_ids).logits, expected(token_ids).logits)


def replicated(module: nn.Module, factor: float = 1.0) -> Any:
    """A copy as `nn.DataParallel` makes it, with other parameters in the networks."""
    replica = module._replicate_for_data_parallel()
    for name, parameter in module._parameters.items():
        setattr(replica, name, None if parameter is None else parameter.detach() * factor)
    for name, child in module.named_children():
        setattr(replica, name, replicated(child, 0.5 if name == "increments" else factor))
    return replica


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_can_be_switched_with_positions_per_head(implementation: str) -> None:
    model, token_ids = tiny(), tokens()
    stir(attach(model, PER_HEAD))
    expected = model(token_ids).logits
    model.set_attn_implementation(f"howfar_{implementation}")
    torch.testing.assert_close(model(token_ids).logits, expected, rtol=1e-5, atol=1e-5)
    model.set_attn_implementation(implementation)
    message = f"LlamaModel attends by '{implementation}', which rotates all heads alike.*'howfar_{implementation}'"
    with pytest.raises(UnsupportedModelError, match=message):
        model(token_ids)
    detach(model)
    assert model.config._attn_implementation == implementation


def test_training_mode_dropout_and_random_state_survive_attaching() -> None:
    model = tiny(attention_dropout=0.5)
    model.train()
    model.model.norm.eval()
    state = torch.get_rng_state()
    probe(find_decoder(model))
    assert torch.equal(torch.get_rng_state(), state)
    attach(model)
    assert not model.model.norm.training
    assert all(module.training for module in model.modules() if module is not model.model.norm)


def test_a_model_waiting_for_its_weights() -> None:
    with torch.device("meta"):
        model = tiny()
    assert attach(model).layer_indices == (0, 1)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent_and_whole(config: IncrementConfig, copied: Any) -> None:
    model, token_ids = tiny(), tokens()
    stir(attach(model, config))
    expected = model(token_ids).logits
    twin = copied(model)
    assert torch.equal(twin(token_ids).logits, expected)
    stir(increments_of(twin), scale=0.7)
    assert not torch.allclose(twin(token_ids).logits, expected, atol=1e-3)
    assert torch.equal(model(token_ids).logits, expected)
    with record(twin) as of_twin, record(model) as of_model:
        twin(token_ids)
    assert of_twin.increments
    assert not of_model.increments
    detach(twin)
    assert torch.equal(model(token_ids).logits, expected)


def test_state_dicts_round_trip() -> None:
    model, other, token_ids = tiny(), tiny(), tokens()
    stir(attach(model))
    attach(other)
    result = other.load_state_dict(model.state_dict())
    assert result.missing_keys == result.unexpected_keys == []
    assert torch.equal(other(token_ids).logits, model(token_ids).logits)


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_an_optimiser_moves_the_increments(config: IncrementConfig) -> None:
    model, token_ids = tiny(), tokens()
    increments = attach(model, config)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in increments.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(filter(lambda parameter: parameter.requires_grad, model.parameters()), lr=0.01)
    losses = []
    for _ in range(20):
        loss = model(token_ids, labels=token_ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.02
    with record(model) as recording:
        model(token_ids)
    assert (recording.increments[0] - 1).abs().max() > 0.01


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradient_checkpointing_changes_no_gradient(config: IncrementConfig, reentrant: bool, frozen: bool) -> None:
    kinds = ["sliding_attention", "full_attention"] * 2  # with frequencies of their own
    model, token_ids = tiny("gemma3_text", num_hidden_layers=4, layer_types=kinds), tokens()
    increments = stir(attach(model, config))
    if frozen:  # only increments are trained: no layer's input requires a gradient by itself
        model.requires_grad_(False)
        for parameter in increments.parameters():
            parameter.requires_grad_(True)
    model.train()
    mask = torch.ones_like(token_ids)
    mask[0, :3] = 0

    def backward() -> dict[str, torch.Tensor]:
        for _ in range(2):  # gradients gather over passes
            model(token_ids, attention_mask=mask, labels=token_ids, use_cache=False).loss.backward()
        return gradients(model)

    expected = backward()
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    found = backward()
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        tolerance = 1e-6 * float(expected[name].abs().max())
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_a_second_backward_pass_gives_the_same_gradients(config: IncrementConfig) -> None:
    model = tiny()
    stir(attach(model, config))
    model.activation_checkpointing_enable({"use_reentrant": True})
    model.enable_input_require_grads()
    model.train()
    loss = model(tokens(), labels=tokens()).loss
    loss.backward(retain_graph=True)
    expected = gradients(model)
    loss.backward()
    assert largest_difference(gradients(model), expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", [SHARED, PER_LAYER, PER_HEAD])
def test_half_precision_models_keep_float32_increments(dtype: torch.dtype, config: IncrementConfig) -> None:
    model, token_ids = tiny().to(dtype), tokens(400, batch_size=1)
    expected = model(token_ids).logits
    increments = attach(model, config)
    with record(model) as recording:
        assert torch.equal(model(token_ids).logits, expected)
    assert {parameter.dtype for parameter in increments.parameters()} == {torch.float32}
    assert recording.positions[1].dtype == torch.float32
    assert torch.equal(recording.positions[1][0, 0], torch.arange(400.0)), "bfloat16 cannot count beyond 256"
    model.to(torch.float32).to(dtype)
    assert {parameter.dtype for parameter in increments.parameters()} == {torch.float32}


def test_autocast_keeps_float32_increments() -> None:
    model, token_ids = tiny(), tokens(400, batch_size=1)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(token_ids).logits
        attach(model)
        with record(model) as recording:
            found = model(token_ids).logits
    assert torch.equal(found, expected)
    assert torch.equal(recording.positions[1][0, 0], torch.arange(400.0))


def test_nothing_of_a_pass_is_kept_even_if_it_fails() -> None:
    model, token_ids = tiny(), tokens()
    attach(model, SHARED)
    seen = []

    def fail(layer: int, increments: torch.Tensor) -> torch.Tensor:
        seen.append(weakref.ref(increments))
        if layer == 1:
            raise ZeroDivisionError
        return increments

    model(token_ids)
    with override(model, fail), pytest.raises(ZeroDivisionError):
        model(token_ids)
    gc.collect()
    assert seen[0]() is None
    torch.testing.assert_close(model(token_ids).logits, tiny()(token_ids).logits)


def test_nothing_of_an_interrupted_pass_outlives_the_next_one() -> None:
    model = tiny()
    increments = attach(model, SHARED)
    expected = model(tokens()).logits
    handle = model.model.layers[1].register_forward_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            model(tokens(), use_cache=True)
    handle.remove()
    assert len(increments._calls.passes) == 1  # PyTorch calls no hook then
    inner: list[Tensor] = []

    def nested(module: nn.Module, args: Any, output: Any) -> None:
        if not inner:
            inner.append(torch.empty(0))
            inner.append(model(tokens()).logits)

    handle = model.model.layers[0].register_forward_hook(nested)  # before the second layer needs the outer pass
    assert torch.equal(model(tokens()).logits, expected)
    assert torch.equal(inner[1], expected)
    assert not increments._calls.passes
    handle.remove()


def test_packed_sequences_keep_their_distances() -> None:
    """Two texts in one row, told apart by restarting position ids, equal each on its own."""
    model = tiny()
    stir(attach(model))
    one, two = tokens(5, batch_size=1), tokens(7, batch_size=1, seed=1)
    position_ids = torch.cat((torch.arange(5), torch.arange(7)))[None]
    packed = model(torch.cat((one, two), dim=1), position_ids=position_ids, use_cache=False).logits
    torch.testing.assert_close(packed[:, :5], model(one).logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed[:, 5:], model(two).logits, rtol=1e-5, atol=1e-5)


def test_embeddings_in_place_of_tokens() -> None:
    for config in (SHARED, PER_LAYER, PER_HEAD):
        model, token_ids = tiny(), tokens()
        stir(attach(model, config))
        embeddings = model.get_input_embeddings()(token_ids)
        torch.testing.assert_close(model(inputs_embeds=embeddings).logits, model(token_ids).logits)
