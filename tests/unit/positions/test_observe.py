import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from howfar.errors import AlreadyAttachedError, NoIncrementsError, OverrideError, UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, override, record
from howfar.positions.calls import IncrementFunction
from howfar.positions.observe import movable
from support.models import sharing_keys, stir, tiny, tokens

SHARED, PER_LAYER = IncrementConfig(scope="shared"), IncrementConfig()
PER_HEAD = IncrementConfig(per_head=True)
KINDS = [SHARED, PER_LAYER, PER_HEAD, IncrementConfig(scope="shared", per_head=True)]


@pytest.mark.parametrize("config", KINDS)
def test_ones_give_the_base_model(config: IncrementConfig) -> None:
    model, token_ids = tiny(), tokens()
    expected = model(token_ids).logits
    stir(attach(model, config))
    with override(model, lambda layer, increments: torch.ones_like(increments)):
        assert torch.equal(model(token_ids).logits, expected)
    assert not torch.allclose(model(token_ids).logits, expected, atol=1e-3)


@pytest.mark.parametrize("config", KINDS)
def test_an_override_may_edit_its_argument(config: IncrementConfig) -> None:
    model, token_ids = tiny(), tokens()
    stir(attach(model, config))

    def out_of_place(layer: int, increments: Tensor) -> Tensor:
        return torch.cat((2 * increments[..., :1], increments[..., 1:]), dim=-1) if layer == 0 else increments

    def in_place(layer: int, increments: Tensor) -> Tensor:
        if layer == 0:
            increments[..., 0] *= 2
        return increments

    def recorded(function: IncrementFunction) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad(), override(model, function), record(model) as recording:
            logits = model(token_ids).logits
        return logits, *recording.increments.values()

    for one, other in zip(recorded(in_place), recorded(out_of_place), strict=True):
        assert torch.equal(one, other)
    with override(model, in_place):  # the outer one's result is not the inner one's to edit
        assert torch.equal(recorded(lambda layer, own: own.mul_(1))[1], recorded(lambda layer, own: own)[1])


def test_what_is_attached_and_recorded_prints_in_a_line() -> None:
    model = tiny()
    increments = attach(model, SHARED)
    assert repr(increments).startswith("Increments(2 layers, rotary, IncrementConfig(scope='shared', ")
    with record(model) as recording:
        assert repr(recording) == "Recording(increments and positions of 0 layers)"
        model(tokens(3))
    said = "Recording(increments and positions of 2 layers, each (1, 1, 3) [batch, head, token])"
    assert repr(recording).replace("(2, 1, 3)", "(1, 1, 3)") == said


def test_overrides_nest_and_come_off_in_order() -> None:
    model, token_ids = tiny(), tokens(3)
    attach(model)

    def seen() -> float:
        with record(model) as recording:
            model(token_ids)
        return recording.increments[0][0, 0, 0].item()

    def double(layer: int, increments: Tensor) -> Tensor:
        return 2 * increments

    def add_one(layer: int, increments: Tensor) -> Tensor:
        return increments + 1

    with override(model, double):
        assert seen() == 2
        with override(model, add_one):
            assert seen() == 3, "the inner one sees what the outer one returns"
            with override(model, double):
                assert seen() == 6
            assert seen() == 3, "of two equal ones the inner one came off"
        assert seen() == 2
    assert seen() == 1


@pytest.mark.parametrize("config", KINDS)
def test_layers_can_be_given_different_increments(config: IncrementConfig) -> None:
    """With a shared network too, and then back to one set of positions for all layers."""
    model, token_ids = tiny(), tokens(4)
    stir(attach(model, config))
    before = model(token_ids).logits
    with override(model, lambda layer, increments: increments * (layer + 1)), record(model) as recording:
        model(token_ids)
    one, two = (recording.increments[layer] for layer in (0, 1))
    if config.scope == "shared":
        assert torch.equal(two, 2 * one)
    assert torch.equal(recording.positions[0], (one.double().cumsum(-1) - 1).float())
    assert torch.equal(recording.positions[1], (two.double().cumsum(-1) - 1).float())
    assert torch.equal(model(token_ids).logits, before)


@pytest.mark.parametrize(
    "replacement",
    [
        2,
        2.0,
        torch.tensor(2),
        torch.full((4,), 2.0),
        torch.full((2, 1, 1), 2.0, dtype=torch.float64),
        torch.full((1, 1, 4), 2.0, dtype=torch.bfloat16),
    ],
)
def test_what_broadcasts_will_do(replacement: object) -> None:
    model, token_ids = tiny(), tokens(4)
    attach(model, PER_HEAD)
    with override(model, lambda layer, increments: replacement), record(model) as recording:
        model(token_ids)
    assert torch.equal(recording.increments[1], torch.full((2, 2, 4), 2.0))
    assert recording.increments[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("replacement", "got"),
    [
        (torch.ones(3), r"shape \(3,\)"),
        (torch.ones(2, 2, 1, 4), r"shape \(2, 2, 1, 4\)"),
        (None, "NoneType"),
        ("far", "str"),
    ],
)
def test_what_does_not_broadcast_is_refused(replacement: object, got: str) -> None:
    model, token_ids = tiny(), tokens(4)
    attach(model)
    message = rf"^an override returned {got} for layer 0; it must return increments .* = \(2, 1, 4\), or a"
    with override(model, lambda layer, increments: replacement), pytest.raises(OverrideError, match=message):
        model(token_ids)
    model(token_ids)


def test_padding_stays_at_zero_under_an_override() -> None:
    model, token_ids = tiny(), tokens(4)
    attach(model)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    with override(model, lambda layer, increments: 3.0), record(model) as recording:
        model(token_ids, attention_mask=mask)
    assert torch.equal(recording.increments[0][:, 0], 3.0 * mask)


def test_gradients_flow_through_overrides() -> None:
    model, token_ids = tiny(), tokens(4)
    attach(model)
    scale = torch.tensor(1.0, requires_grad=True)
    with override(model, lambda layer, increments: increments * scale):
        model(token_ids).logits.square().mean().backward()
    assert scale.grad is not None
    assert scale.grad != 0


@pytest.mark.parametrize("config", KINDS)
def test_recordings_hold_the_latest_pass(config: IncrementConfig) -> None:
    model = tiny()
    stir(attach(model, config))
    with record(model) as outer:
        model(tokens(5))
        with record(model) as inner:
            model(tokens(3))
    model(tokens(7))
    num_heads = 2 if config.per_head else 1
    for recording in (outer, inner):
        assert list(recording.increments) == list(recording.positions) == [0, 1]
        for layer in (0, 1):
            assert recording.increments[layer].shape == recording.positions[layer].shape == (2, num_heads, 3)
    if config.scope == "shared":
        assert torch.equal(outer.positions[0], outer.positions[1])


def test_recordings_are_part_of_the_graph() -> None:
    model = tiny()
    increments = stir(attach(model))
    with record(model) as recording:
        model(tokens())
    recording.positions[1].sum().backward()
    assert increments.networks[1].output.weight.grad is not None
    assert increments.networks[1].output.weight.grad.abs().max() > 0


def test_advance_after_counts_a_token_for_the_next_one() -> None:
    model = tiny()
    stir(attach(model, IncrementConfig(advance="after")))
    with record(model) as recording:
        model(tokens())
    increments, positions = recording.increments[1].double(), recording.positions[1].double()
    assert torch.equal(positions[..., :1], torch.zeros(2, 1, 1))
    torch.testing.assert_close(positions.diff(dim=-1), increments[..., :-1], rtol=0, atol=1e-5)


def test_placed_tokens_stand_where_the_network_says() -> None:
    model = tiny()
    stir(attach(model, IncrementConfig(accumulate=False)))
    with record(model) as recording:
        model(tokens())
    assert torch.equal(recording.positions[1], recording.increments[1])


def test_a_model_without_increments_cannot_be_watched() -> None:
    for context in (record(tiny()), override(tiny(), lambda layer, increments: increments)):
        with pytest.raises(NoIncrementsError, match="has no increments"), context:
            pass


def test_increments_are_attached_after_a_block_that_holds_the_model() -> None:
    model = tiny()
    with (
        movable(model),
        pytest.raises(AlreadyAttachedError, match=r"inside a howfar.movable block; call"),
    ):
        attach(model)
    attach(model)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_made_inside_a_block_is_held_by_none(copied: Callable[[nn.Module], nn.Module]) -> None:
    model, token_ids = tiny(), tokens()
    expected = model(token_ids).logits
    with movable(model):
        twin, other = copied(model), copied(model)
        attach(twin)
        with pytest.raises(AlreadyAttachedError, match=r"inside a howfar\.movable block"):
            attach(model)
    detach(twin)
    assert torch.equal(twin(token_ids).logits, expected)
    with movable(other), override(other, lambda layer, increments: increments * 2):
        assert not torch.equal(other(token_ids).logits, expected)
    attach(other)


def scaled(*layers: int) -> IncrementFunction:
    return lambda layer, increments: increments * 2 if layer in layers else increments


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["gemma3n_text", "gemma4_text"])
@pytest.mark.parametrize("layers", [(0,), (3,), (0, 1, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_layers_that_share_keys_move_together_or_not_at_all(
    architecture: str, layers: tuple[int, ...], shared: bool
) -> None:
    model = sharing_keys(architecture)
    if shared:
        stir(attach(model, IncrementConfig(scope="shared")))
    with movable(model):
        with override(model, scaled(*layers)), pytest.raises(UnsupportedModelError, match="attends to the keys of"):
            model(tokens())
        before = model(tokens(), use_cache=False).logits
        for together in ((0, 2), (1, 3), (0, 1, 2, 3)):
            with override(model, scaled(*together)):
                assert not torch.equal(model(tokens(), use_cache=False).logits, before)

        def shift(layer: int, increments: Tensor) -> Tensor:
            moved = increments.clone()
            moved[..., 0] += 7 * (layer in (0, 2))
            return moved

        with override(model, shift):  # every token of the two layers: no distance changes
            torch.testing.assert_close(model(tokens(), use_cache=False).logits, before, rtol=1e-3, atol=1e-3)
