"""A spacing picture in words, from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from howfar.charts.glyphs import counted
from howfar.charts.spacing.content import Content, Steps
from howfar.charts.spacing.elements import fixed
from howfar.charts.spacing.kinds import KINDS
from howfar.charts.spacing.scales import percent, ratio_of, short, spread_of

_LEAST_MEMBERS = 3  # members of a kind, and characters outside it
_LEAST_RATIO = 1.25  # between a kind's mean step and that of the rest: more than one shade of the default colours
_LEAST_ERRORS = 3.0  # standard errors between the two
_ROUNDING = 1e-4  # spreads below it may come from the rounding of the numbers
_MOST_QUOTED = 60
_MOST_FINDINGS = 2
_MOST_MOVED = 3  # steps that are named
_CLOSE = 0.5  # of an average step: as far as the default colours go
_LEAST_SPACES = 2  # inside words that are drawn together
_SPACE = KINDS.index("space")
_LETTERS = [KINDS.index(kind) for kind in ("capital letter", "lowercase letter", "digit")]
_IN_WORDS = [*_LETTERS, KINDS.index("punctuation mark")]


def findings(content: Content) -> list[str]:
    """What a reader has changed; at most two sentences on what the steps then show; and which rows are not compared."""
    return [*changes(content), *_findings(content), *_not_compared(content)]


def changes(content: Content) -> list[str]:
    """What is not the model's own: a sentence on steps that are multiplied, and one on those that are plain."""
    sentences = []
    moved = sorted(
        (int(slot), layer, factor)
        for key, factor in content.moves.items()
        for layer, slot in [key.split(":")]
        if content.plain not in ("all", layer)
    )
    if moved:
        named = [
            f"the step to {_quoted_label(content.texts[0].labels[slot])} ({content.noun} {slot + 1:,}) "
            f"is multiplied by {short(factor, 4)} in {_layer(layer)}"
            for slot, layer, factor in moved[:_MOST_MOVED]
        ]
        named += [f"and {len(moved) - len(named):,} more"] if len(moved) > len(named) else []
        sentences.append(f"{'One step is' if len(moved) == 1 else 'Steps are'} changed: {'; '.join(named)}.")
    if content.plain is not None:
        verb = "advance" if content.plain == "all" else "advances"
        sentences.append(f"{_layer(content.plain).capitalize()} {verb} by plain +1.")
    return sentences


def _not_compared(content: Content) -> list[str]:
    """Of two readings, a sentence on the rows without a difference, which would look like rows that do not differ."""
    learned = [row for row in content.rows if not row.is_plain]
    num_alone = sum(row.difference is None for row in learned)
    if len(content.texts) < 2 or not num_alone:
        return []
    verb = "has" if num_alone == 1 else "have"
    return [
        f"{num_alone} of {len(learned)} rows {verb} no counterpart in the other model, and so no difference from it."
    ]


def _layer(layer: str) -> str:
    return "all layers" if layer == "all" else f"layer {layer}"


def _findings(content: Content) -> list[str]:
    """At most two sentences: words that a row draws together, or the kind of character at which it steps otherwise."""
    learned = [row for row in content.rows if not row.is_plain]
    together = [phrase for row in learned if (phrase := _together(content, row)) is not None]
    found = [finding for row in learned if (finding := _finding(content, row)) is not None]
    found.sort(key=lambda finding: -finding[0])
    sentences = [max(together, key=lambda phrase: phrase[0])[1]] if together else []
    sentences += [sentence for _, sentence in found[: _MOST_FINDINGS - len(sentences)]]
    spreads = [spread_of(content, row) for row in learned]
    if all(np.array_equal(row.gaps, content.texts[row.text].tokens) for row in learned):
        return ["Every step is 1: these are plain positions."]
    if not any(spreads):
        return ["Every row's steps are equal." if len(learned) > 1 else "All steps are equal."]
    if max(spreads) < _ROUNDING:
        return [f"{'Every row' if len(learned) > 1 else 'The row'}'s steps are equal, to a hundredth of a percent."]
    if not sentences:
        widest = learned[int(np.argmax(spreads))]
        which = f"Steps of {widest.name} vary most," if len(learned) > 1 else "Steps vary"
        kind = int(content.texts[widest.text].kinds[_longest(content, widest)])
        sentences = [f"{which} by ±{percent(max(spreads))}; the longest is to {_a(kind)}."]
    return sentences


def _together(content: Content, row: Steps) -> tuple[tuple[int, float], str] | None:
    """The most words with short steps at all spaces between them: how many spaces, how short, and a sentence."""
    text, ratio = content.texts[row.text], ratio_of(content, row)
    is_space = (text.tokens > 0) & (text.kinds == _SPACE)
    is_letter = (text.tokens > 0) & np.isin(text.kinds, _LETTERS)
    in_word = (text.tokens > 0) & np.isin(text.kinds, _IN_WORDS)
    is_close = is_space & (ratio <= _CLOSE)
    is_close[[0, -1]] = False
    is_close[1:-1] &= is_letter[:-2] & is_letter[2:]
    best: tuple[tuple[int, float], str] | None = None
    spaces = np.flatnonzero(is_space)
    whole = float(ratio[spaces].sum())
    for close, group in groupby(spaces.tolist(), key=lambda slot: bool(is_close[slot])):
        inside = list(group)
        num_others = len(spaces) - len(inside)
        if not close or len(inside) < _LEAST_SPACES or num_others < _LEAST_MEMBERS:
            continue
        mean, first, last = float(ratio[inside].mean()), inside[0] - 1, inside[-1] + 1
        if whole - mean * len(inside) < num_others:  # the other spaces take less than an average step
            continue
        if best is not None and (len(inside), -mean) <= best[0]:
            continue
        while first > 0 and in_word[first - 1]:
            first -= 1
        while last + 1 < len(content) and in_word[last + 1]:
            last += 1
        first += int(np.argmax(is_letter[first:]))  # without a bracket or comma at the words' ends
        last -= int(np.argmax(is_letter[last::-1]))
        words = _quoted(text.labels[first : last + 1])
        sentence = f"In {row.name}, each space inside “{words}” takes {short(mean, 2)} of an average step."
        best = ((len(inside), -mean), sentence)
    return best


def _longest(content: Content, row: Steps) -> int:
    """The longest step per token, except for the first, which no character is before."""
    present = content.texts[row.text].tokens > 0
    ratio, second = np.where(present, ratio_of(content, row), -np.inf), int(np.argmax(present)) + 1
    return int(np.argmax(ratio[second:])) + second if second < len(ratio) else second - 1


def _finding(content: Content, row: Steps) -> tuple[float, str] | None:
    """The kind that differs most, and its log ratio."""
    text, ratio = content.texts[row.text], ratio_of(content, row)
    present = text.tokens > 0
    best: tuple[float, str] | None = None
    for kind in np.unique(text.kinds[present]).tolist():
        own, rest = ratio[present & (text.kinds == kind)], ratio[present & (text.kinds != kind)]
        if min(len(own), len(rest)) < _LEAST_MEMBERS or own.mean() <= 0 or rest.mean() <= 0:
            continue
        error = np.sqrt(own.var(ddof=1) / len(own) + rest.var(ddof=1) / len(rest))
        size = abs(float(np.log(own.mean() / rest.mean())))
        if size < np.log(_LEAST_RATIO) or abs(own.mean() - rest.mean()) < _LEAST_ERRORS * error:
            continue
        if best is None or size > best[0]:
            sentence = (
                f"In {row.name}, a step to {_a(kind)} (there are {len(own):,}) is {short(float(own.mean()), 2)} times "
                f"the average, to anything else {short(float(rest.mean()), 2)} times."
            )
            best = (size, sentence)
    return best


def describe(content: Content) -> str:
    """The picture for readers who do not see it: each row's mean, spread, and widest and narrowest steps."""
    first = content.texts[0]
    quoted = _quoted(first.labels)
    size, num_rows = counted(int((first.tokens > 0).sum()), first.noun), counted(len(content.rows) - 1, "row")
    said = [f"{content.title}: {size}, “{quoted}”, in {num_rows} below one of plain positions.", *changes(content)]
    for row in content.rows:
        if row.is_plain:
            continue
        text, ratio = content.texts[row.text], ratio_of(content, row)
        ordered = [slot for slot in np.argsort(ratio, kind="stable").tolist() if text.tokens[slot]]
        low, high = ordered[0], ordered[-1]
        said.append(
            f"{row.name}, mean {fixed(row.mean, 2)} ±{percent(spread_of(content, row))}: steps from "
            f"{fixed(ratio[low], 2)} of the average (to {_named(text.labels[low])}) to {fixed(ratio[high], 2)} "
            f"(to {_named(text.labels[high])})."
        )
    return " ".join(said)


def _quoted(labels: Sequence[str]) -> str:
    """The text of slots, cut where it is long."""
    return "".join(labels if len(labels) <= _MOST_QUOTED else [*labels[: _MOST_QUOTED - 1], "…"])


def _a(kind: int) -> str:
    """A kind of characters with its article."""
    return f"{'an' if KINDS[kind][0] in 'aeiou' else 'a'} {KINDS[kind]}"


def _named(label: str) -> str:
    return label if label.strip() else "a space"


def _quoted_label(label: str) -> str:
    return f"“{label}”" if label.strip() else "a space"
