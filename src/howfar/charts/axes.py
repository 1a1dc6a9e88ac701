"""Axes whose ticks are labelled with characters of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping


def labelled(labels: Mapping[int, str]) -> str:
    """A Vega expression from an axis value, a whole number, to its label."""
    return f"{json.dumps({str(key): label for key, label in labels.items()})}[datum.value]"
