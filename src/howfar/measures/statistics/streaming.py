"""Statistics of streams that are too long to keep: means and spreads by class, and a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from howfar.measures.statistics.estimate import Array


class ClassMoments:
    """Mean and standard deviation of several quantities, by class of item; exact, in one pass.

    Args:
        num_classes: Classes are numbered from 0.
        num_quantities: Of each item.
    """

    def __init__(self, num_classes: int, num_quantities: int) -> None:
        from sklearn.preprocessing import StandardScaler

        self._shape = (num_quantities, num_classes)
        self._of_class: dict[int, Any] = {}
        self._new = StandardScaler

    def add(self, values: NDArray[Any], classes: NDArray[Any]) -> None:
        """Count items in.

        Args:
            values: `[quantity, item]`.
            classes: `[item]`.
        """
        for of_class in np.unique(classes).tolist():
            items = values[:, classes == of_class].T.astype(np.float64)
            self._of_class.setdefault(of_class, self._new()).partial_fit(items)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Items of each class, `[class]`."""
        counts = np.zeros(self._shape[1], dtype=np.int64)
        for of_class, moments in self._of_class.items():
            counts[of_class] = moments.n_samples_seen_
        return counts

    @property
    def mean(self) -> Array:
        """`[quantity, class]`; NaN where there are no items."""
        return self._filled("mean_")

    @property
    def sd(self) -> Array:
        """Of single items, `[quantity, class]`; NaN where there are none."""
        return np.sqrt(self._filled("var_"))

    def _filled(self, attribute: str) -> Array:
        filled = np.full(self._shape, np.nan)
        for of_class, moments in self._of_class.items():
            filled[:, of_class] = getattr(moments, attribute)
        return filled


class StreamSample:
    """A uniform sample, without replacement, of a stream of unknown length.

    Each item draws a number; those with the smallest numbers are kept.

    Args:
        size: The most items to keep.
        seed: Of the draws.

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
        """Let items take part: `[..., item]`."""
        draws = self._generator.random(size=(values.shape[-1],))
        if len(self._draws) == self._size:  # most items of a long stream stand no chance
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
        """What was kept, `[..., item]`, in the order of the stream.

        Raises:
            ValueError: There was no item.
        """
        if self._values is None:
            raise ValueError("there is no item in the sample; add some")
        return self._values
