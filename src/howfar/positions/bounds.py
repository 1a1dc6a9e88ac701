"""The range of an increment, and the function that maps a network's output, the logit, into it.

A new bound is a class here; configurations, recipes and measures know it by its name. Its value at logit 0 must be 1
without rounding, so that a network whose last layer is zero leaves a model unchanged, bit for bit.

Nothing here loads PyTorch before a tensor exists, so that a configuration can be checked without PyTorch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from howfar.positions.config import IncrementConfig

SOFTPLUS_OF_ONE = math.log(math.e - 1)  # softplus(x) = 1 here
LARGEST_LOGIT = 30.0  # beyond this a sigmoid is flat in float32, and exp overflows in the backward pass


class Bound:
    """A range of increments, and the function into it.

    Args:
        max_increment: The upper limit, in positions; only some bounds have one.
    """

    name: ClassVar[str]
    known: ClassVar[dict[str, type[Bound]]] = {}
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Lower and upper limit of increments, in positions; infinite where there is none."""

    def __init__(self, max_increment: float) -> None:
        self.max_increment = max_increment

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Bound.known[cls.name] = cls

    def __call__(self, logits: Tensor) -> Tensor:
        """The increments of these logits, in positions; 1 at logit 0."""
        raise NotImplementedError

    def saturation(self, share: float) -> tuple[float, float]:
        """Thresholds below and above which an increment counts as saturated.

        Args:
            share: How near to a limit: a share of the upper limit, or of the start at 1 if there is none.
        """
        lower, upper = self.limits
        scale = upper if math.isfinite(upper) else 1.0
        return lower + share * scale, (1 - share) * upper


class Softplus(Bound):
    """Any positive increment."""

    name = "softplus"
    limits = (0.0, math.inf)

    def __call__(self, logits: Tensor) -> Tensor:
        """`softplus(logit + c) / softplus(c)`: division by itself gives 1 exactly."""
        from torch.nn.functional import softplus

        return softplus(logits + SOFTPLUS_OF_ONE) / softplus(logits.new_zeros(logits.shape) + SOFTPLUS_OF_ONE)


class Sigmoid(Bound):
    """A positive increment below `max_increment`."""

    name = "sigmoid"

    def __init__(self, max_increment: float) -> None:
        super().__init__(max_increment)
        self.limits = (0.0, max_increment)

    def __call__(self, logits: Tensor) -> Tensor:
        """`max * sigmoid(logit - log(max - 1))`, in the form that gives max / max = 1 at 0."""
        logits = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return self.max_increment / (1 + (self.max_increment - 1) * (-logits).exp())


class Signed(Bound):
    """Any increment; positions may go backwards."""

    name = "signed"

    def __call__(self, logits: Tensor) -> Tensor:
        """`1 + logit`."""
        return 1 + logits


def bound_of(config: IncrementConfig) -> Bound:
    """The bound that a configuration names."""
    return Bound.known[config.bound](config.max_increment)
