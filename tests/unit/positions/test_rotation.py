import math

import pytest
import torch
from torch import nn

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, override
from howfar.positions.decoder import find_decoder
from howfar.positions.rotation import Rotation, rotation_of
from support.models import tiny, tokens


def llama_rotation(angles: str) -> Rotation:
    return find_decoder(tiny()).rotations([0], angles)[0]


@pytest.mark.parametrize(
    ("angles", "num_tokens", "bound"),
    [
        ("float32", 512, 4e-5),
        ("float32", 16_384, 1e-3),
        ("float32", 131_072, 9e-3),
        ("float64", 512, 2.5e-7),
        ("float64", 131_072, 2.5e-7),
    ],
)
def test_angles_of_long_texts(angles: str, num_tokens: int, bound: float) -> None:
    """The error of cosines and sines at the last of many fractional increments, against float64 throughout."""
    rotation = llama_rotation(angles)
    positions = torch.full((1, 1, num_tokens), 0.9731, dtype=torch.float64).cumsum(-1)
    exact = positions[..., None] * rotation.module.inv_freq.double()
    given = positions if angles == "float64" else positions.float()
    cos, sin = rotation(given, torch.float32)
    half = cos.shape[-1] // 2
    error = max((cos[..., :half] - exact.cos()).abs().max(), (sin[..., :half] - exact.sin()).abs().max())
    assert error < bound
    if angles == "float32":
        assert error > bound / 20, "the stated error is of the right size"


def test_float64_angles_reach_the_model() -> None:
    """A far start changes nothing with float64 angles, and something with float32 ones."""
    model, token_ids = tiny(), tokens()
    expected = model(token_ids).logits

    def far(layer: int, increments: torch.Tensor) -> torch.Tensor:
        return torch.cat((increments[..., :1] + 100_000.5, increments[..., 1:]), dim=-1)

    errors = {}
    for angles in ("float32", "float64"):
        attach(model, IncrementConfig(angles=angles))
        with override(model, far):
            errors[angles] = float((model(token_ids).logits - expected).abs().max().detach())
        detach(model)
    assert errors["float64"] < 2e-5
    assert errors["float32"] > 10 * errors["float64"]


def test_gradients_of_float64_angles_are_the_rotations_own() -> None:
    rotation = llama_rotation("float64")
    positions = torch.tensor([[[0.5, 3.0, 1000.25]]], dtype=torch.float64, requires_grad=True)
    cos, _ = rotation(positions, torch.float32)
    cos.sum().backward()
    frequencies = rotation.module.inv_freq.double()
    exact = -2 * (frequencies * (positions.detach()[..., None] * frequencies).sin()).sum(-1)
    torch.testing.assert_close(positions.grad, exact, rtol=1e-5, atol=1e-5)


def test_cosines_come_in_the_models_own_type() -> None:
    cos, sin = llama_rotation("float32")(torch.ones(1, 1, 4), torch.bfloat16)
    assert cos.dtype == sin.dtype == torch.bfloat16


class Absolute(nn.Module):
    """Not rotary by position times frequency."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.config, self.attention_scaling = config, 1.0
        self.inv_freq = torch.ones(4)

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = position_ids[..., None].float().sqrt() * math.pi * torch.ones(8)
        return angles.cos(), angles.sin()


class Complex(Absolute):
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        return torch.polar(torch.ones(4), torch.ones(4))


def test_modules_that_rotate_in_another_way_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"^Absolute does not rotate by position times frequency; use a"):
        rotation_of(Absolute(None), None, "float32")
    with pytest.raises(
        UnsupportedModelError, match=r"^Complex returns its rotary angles in a form .*; use a model whose"
    ):
        rotation_of(Complex(None), None, "float32")
