"""Statistics of streams that are too long to keep: means and standard deviations by class, and a random sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from howfar.measures.statistics.studentised import Array


class ClassMoments:
    """Mean and standard deviation of several quantities, by class of item, from 0; exact, in one pass."""

    def __init__(self, num_classes: int, num_quantities: int) -> None:
        self._shape = (num_quantities, num_classes)
        self._of_class: dict[int, Any] = {}

    def add(self, values: NDArray[Any], classes: NDArray[Any]) -> None:
        """Add items: their values `[quantity, item]` and classes `[item]`."""
        from sklearn.preprocessing import StandardScaler

        for of_class in np.unique(classes).tolist():
            items = values[:, classes == of_class].T.astype(np.float64)
            self._of_class.setdefault(of_class, StandardScaler()).partial_fit(items)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of items of each class, `[class]`."""
        counts = np.zeros(self._shape[1], dtype=np.int64)
        for of_class, moments in self._of_class.items():
            counts[of_class] = moments.n_samples_seen_
        return counts

    @property
    def mean(self) -> Array:
        """Mean over the items of each class, `[quantity, class]`; NaN where there are no items."""
        return self._filled("mean_")

    @property
    def sd(self) -> Array:
        """Standard deviation over the items of each class, `[quantity, class]`; NaN where there are no items."""
        return np.sqrt(self._filled("var_"))

    def _filled(self, attribute: str) -> Array:
        filled = np.full(self._shape, np.nan)
        for of_class, moments in self._of_class.items():
            filled[:, of_class] = getattr(moments, attribute)
        return filled


class StreamSample:
    """A uniform sample, without replacement, of a stream of unknown length.

    Each item gets a random number; the items with the smallest numbers are kept.

    Args:
        size: The most items to keep.
        seed: Seed of the random numbers.

    Source:
        Fan, Muller & Rezucha 1962, "Development of sampling plans by using sequential (item by item) selection
        techniques and digital computers".
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._generator = np.random.default_rng(seed)
        self._draws: NDArray[Any] = np.empty(0)
        self._values: NDArray[Any] | None = None

    def add(self, values: NDArray[Any]) -> None:
        """Add items, `[..., item]`."""
        draws = self._generator.random(size=(values.shape[-1],))
        if len(self._draws) == self._size:  # most items of a long stream can be dropped at once
            chosen = draws < self._draws.max()
            draws, values = draws[chosen], values[..., chosen]
        draws = np.concatenate([self._draws, draws])
        values = values if self._values is None else np.concatenate([self._values, values], axis=-1)
        if len(draws) > self._size:
            kept = np.sort(np.argpartition(draws, self._size)[: self._size])
            draws, values = draws[kept], values[..., kept]
        self._draws, self._values = draws, values

    @property
    def values(self) -> NDArray[Any]:
        """The kept items, `[..., item]`, in the order of the stream.

        Raises:
            ValueError: No item was added.
        """
        if self._values is None:
            raise ValueError("the sample is empty; add items first")
        return self._values
