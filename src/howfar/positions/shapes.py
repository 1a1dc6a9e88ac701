"""Array shapes in types: `Float[Tensor, "batch head token"]`.

The annotations are strings at run time, so `jaxtyping` is only needed by type checkers and by the tests, which install
its import hook (and thereby load it) before anything here. Users need not install it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int
else:
    Bool = Float = Int = None

if TYPE_CHECKING:
    Length = int
else:
    import torch

    Length = int | torch.SymInt  # a length that is symbolic while a graph is traced

__all__ = ["Bool", "Float", "Int", "Length"]
