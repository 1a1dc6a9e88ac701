import numpy as np
import pytest
import torch

from howfar.measures.interventions.replacements import REPLACEMENTS, Untouched, moved_at_random
from howfar.reading.windows import Window

NUM_TOKENS = (12, 9)
GAPS = (4, 6)


@pytest.fixture
def untouched() -> Untouched:
    """Two windows, of which the second is shorter, in two layers of two heads."""
    windows = tuple(Window(number, np.arange(size)) for number, size in enumerate(NUM_TOKENS))
    real = torch.arange(12) < torch.tensor(NUM_TOKENS)[:, None]
    classes = np.tile(np.arange(12) % 3, (2, 1)).astype(np.uint8)
    increments = {layer: torch.rand(2, 2, 12) * 5 + layer for layer in (0, 3)}
    means = {layer: values.mean(dim=(0, 2))[:, None] for layer, values in increments.items()}
    return Untouched(windows, real, classes, np.array(GAPS), increments, means, torch.zeros(2, 11), {})


def replace(untouched: Untouched, kind: str, layers: tuple[int, ...] = (0,)) -> dict[int, torch.Tensor]:
    return REPLACEMENTS[kind](untouched, layers, np.random.default_rng(0))


def test_constants(untouched: Untouched) -> None:
    assert (replace(untouched, "set to one")[0] == 1).all()
    mean = replace(untouched, "set to mean", (0, 3))
    assert torch.allclose(mean[3][1, 0], untouched.means[3][0].expand(12))
    assert set(mean) == {0, 3}


def test_shuffles_keep_what_they_say(untouched: Untouched) -> None:
    own = untouched.increments[0]
    for kind, num_classes in (("shuffled", 1), ("shuffled in class", 3)):
        new = replace(untouched, kind)[0]
        assert not torch.equal(new, own)
        assert torch.equal(new[..., 0], own[..., 0])  # the origin
        assert torch.equal(new[1, :, 9:], own[1, :, 9:])  # padding
        for row, size in enumerate(NUM_TOKENS):
            for one in range(num_classes):
                members = [token for token in range(1, size) if token % num_classes == one]
                assert torch.equal(new[row, :, members].sort().values, own[row, :, members].sort().values)
        # Heads move together, so a token's increments stay a token's.
        assert all((new[0, 1, t] == own[0, 1, own[0, 0] == new[0, 0, t]]).all() for t in range(12))


def test_swapping_goes_round(untouched: Untouched) -> None:
    swapped = replace(untouched, "swapped with next layer", (3,))
    assert torch.equal(swapped[3], untouched.increments[0])
    assert torch.equal(swapped[0], untouched.increments[3])


def test_one_gap_is_moved(untouched: Untouched) -> None:
    own = untouched.increments[0]
    for kind, at_gap in (("one gap widened", own + untouched.means[0]), ("one gap closed", torch.zeros_like(own))):
        new = replace(untouched, kind)[0]
        for row, gap in enumerate(GAPS):
            assert torch.equal(new[row, :, gap], at_gap[row, :, gap])
        assert (new != own).sum() == 2 * len(GAPS)


@pytest.mark.parametrize("kind", list(REPLACEMENTS))
def test_control_moves_by_as_much(untouched: Untouched, kind: str) -> None:
    replaced = replace(untouched, kind)
    control = moved_at_random(untouched, replaced, np.random.default_rng(1))
    assert control.keys() == replaced.keys()
    for layer, new in replaced.items():
        own = untouched.increments[layer]
        for row, size in enumerate(NUM_TOKENS):
            moves = [(side - own)[row, :, 1:size].norm(dim=-1) for side in (new, control[layer])]
            assert torch.allclose(*moves, atol=1e-5)
        assert torch.equal(control[layer][..., 0], own[..., 0])
        assert torch.equal(control[layer][1, :, 9:], own[1, :, 9:])
