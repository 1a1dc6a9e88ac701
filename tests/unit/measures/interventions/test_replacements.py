import numpy as np
import pytest
import torch

from howfar.measures.interventions.controls import (
    LAGS,
    mismatch,
    opposite,
    phase_randomised,
    products,
    squared_displacements,
)
from howfar.measures.interventions.replacements import REPLACEMENTS, Untouched, changed_layers, first_moved
from howfar.measures.interventions.trying import Cell
from howfar.positions import IncrementConfig
from howfar.positions.bounds import bound_of
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
    if len(layers) == 1:
        layers = changed_layers(kind, layers[0], (0, 3))
    return REPLACEMENTS[kind](untouched, layers, [np.random.default_rng(0)] * len(untouched.windows))


def test_constants(untouched: Untouched) -> None:
    assert (replace(untouched, "set to one")[0] == 1).all()
    mean = replace(untouched, "set to mean", (0, 3))
    for row, size in enumerate(NUM_TOKENS):  # of its own window, whose first token is the document mark
        own = untouched.increments[3][row, 0]
        assert torch.allclose(mean[3][row, 0, 1:size], own[1:size].mean().expand(size - 1))
        assert mean[3][row, 0, 0] == own[0]
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


def test_a_swap_is_compared_with_a_shuffle_of_the_same_two_layers() -> None:
    swap = Cell("swapped with next layer", changed_layers("swapped with next layer", 3, (0, 3)))
    assert swap.shuffle == Cell("shuffled in class", (3, 0))


def test_the_mark_counts_in_no_move(untouched: Untouched) -> None:
    """It moves all tokens of a window alike."""
    new = untouched.increments[0].clone()
    new[..., 0] += 100
    assert products(untouched, 0, new, new).tolist() == [0, 0]
    new[..., 1] += 2
    assert products(untouched, 0, new, new) == pytest.approx([4, 4], rel=1e-5)


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
    first = first_moved(untouched, kind)
    control = phase_randomised(untouched, replaced, first, (-np.inf, np.inf), [np.random.default_rng(1)] * 2)
    assert control.keys() == replaced.keys()
    for layer, new in replaced.items():
        own = untouched.increments[layer]
        for row, size in enumerate(NUM_TOKENS):
            moves = [(side - own)[row, :, 1:size].norm(dim=-1) for side in (new, control[layer])]
            assert torch.allclose(*moves, atol=1e-5)
        assert torch.equal(control[layer][..., 0], own[..., 0])
        assert torch.equal(control[layer][1, :, 9:], own[1, :, 9:])


def skewed(generator: np.random.Generator) -> np.ndarray:
    """Many short steps and few long ones."""
    return generator.gamma(0.5, 2.0, size=(4, 2, 400))


def wandering(generator: np.random.Generator) -> np.ndarray:
    """Long steps in some stretches, short ones in others."""
    return np.exp(np.cumsum(generator.normal(0, 0.1, size=(4, 2, 400)), axis=-1) / 2)


def two_sizes(generator: np.random.Generator) -> np.ndarray:
    """Near either end of the range."""
    return np.where(generator.random((4, 2, 400)) < 0.2, 9.5, 0.5)


@pytest.mark.parametrize("kind", ["set to one", "set to mean", "shuffled", "shuffled in class"])
@pytest.mark.parametrize("steps", [skewed, wandering, two_sizes])
def test_control_displaces_as_far_at_every_lag_within_the_bound(kind: str, steps) -> None:
    generator = np.random.default_rng(0)
    own = torch.from_numpy(steps(generator).clip(0, 10)).float()
    windows = tuple(Window(number, np.arange(400)) for number in range(4))
    classes = generator.integers(3, size=(4, 400)).astype(np.uint8)
    real = torch.ones(4, 400, dtype=torch.bool)
    many = Untouched(windows, real, classes, np.zeros(4, int), {0: own}, {}, torch.zeros(4, 399), {})
    new = replace(many, kind)[0]
    first, limits = np.ones(4, int), bound_of(IncrementConfig(max_increment=10.0)).limits
    control = phase_randomised(many, {0: new}, first, limits, [generator] * 4)[0]
    assert control.min() >= 0
    assert control.max() <= 10
    displaced, by_control = (squared_displacements(many, 0, side, first).sum(axis=1) for side in (new, control))
    assert mismatch(displaced, by_control) < 0.1
    for lag, expected in zip(LAGS, by_control, strict=True):  # by another way
        path = (control - own).double().cumsum(dim=-1)
        assert expected == pytest.approx(float((path[..., lag:] - path[..., :-lag]).square().mean(dim=1).sum()))
    other_way = opposite(many, {0: new}, first, limits)[0]
    assert other_way.min() >= 0
    assert other_way.max() <= 10
    if steps is not two_sizes:  # where exchanged, these cannot move the other way at all
        assert (other_way - own).flatten() @ (new - own).flatten() < 0
    agreement = torch.corrcoef(torch.stack([(new - own).flatten(), (control - own).flatten()]))[0, 1]
    assert abs(agreement) < (0.75 if steps is two_sizes else 0.6)  # it goes elsewhere, as far as the bound allows


@pytest.mark.parametrize("kind", ["one gap widened", "one gap closed"])
def test_control_of_one_gap_displaces_the_tokens_that_see_it(kind: str) -> None:
    generator = np.random.default_rng(0)
    own = torch.from_numpy(generator.gamma(2.0, 0.5, size=(64, 1, 512))).float()
    windows, gaps = tuple(Window(number, np.arange(512)) for number in range(64)), generator.integers(1, 511, size=64)
    real, classes = torch.ones(64, 512, dtype=torch.bool), np.zeros((64, 512), dtype=np.uint8)
    many = Untouched(windows, real, classes, gaps, {0: own}, {0: torch.ones(1, 1)}, torch.zeros(64, 511), {})
    new, first = replace(many, kind)[0], first_moved(many, kind)
    control = phase_randomised(many, {0: new}, first, (-np.inf, np.inf), [generator] * 64)[0]
    for row, gap in enumerate(gaps):
        assert torch.equal(control[row, :, :gap], own[row, :, :gap]), "what comes before sees nothing of either"
    displaced, by_control = (squared_displacements(many, 0, side, first).sum(axis=1) for side in (new, control))
    assert mismatch(displaced, by_control) < 0.1
    for lag, expected in zip(LAGS, displaced, strict=True):  # by another way: all pairs across the gap
        size = (new - own)[range(64), 0, gaps].double().square().numpy()
        num_pairs = (np.minimum(512, gaps + lag) - np.maximum(gaps, lag)).clip(min=0)
        assert expected == pytest.approx(float((size * num_pairs).sum()), rel=1e-4)


@pytest.mark.parametrize("kind", list(REPLACEMENTS))
def test_the_opposite_moves_as_far_the_other_way(untouched: Untouched, kind: str) -> None:
    replaced = replace(untouched, kind)
    control = opposite(untouched, replaced, first_moved(untouched, kind), (-np.inf, np.inf))
    for layer, new in replaced.items():
        own = untouched.increments[layer]
        for row, size in enumerate(NUM_TOKENS):
            expected = 2 * own[row, :, 1:size] - new[row, :, 1:size]
            assert torch.allclose(control[layer][row, :, 1:size], expected, atol=1e-5)
            assert torch.equal(control[layer][row, :, size:], own[row, :, size:])
        assert torch.equal(control[layer][..., 0], own[..., 0])
        product, square = products(untouched, layer, new, control[layer]), products(untouched, layer, new, new)
        assert np.allclose(product, -square, atol=1e-4)


def test_a_mismatch_is_the_worst_lag() -> None:
    assert mismatch(np.array([1.0, 4.0, 9.0, 0.0]), np.array([1.0, 4.0, 4.0, 5.0])) == pytest.approx(1 / 3)
    assert mismatch(np.zeros(4), np.ones(4)) == 0


def test_ranges() -> None:
    assert bound_of(IncrementConfig(bound="sigmoid", max_increment=4.0)).limits == (0, 4)
    assert bound_of(IncrementConfig(bound="softplus")).limits == (0, np.inf)
    assert bound_of(IncrementConfig(bound="signed")).limits == (-np.inf, np.inf)
