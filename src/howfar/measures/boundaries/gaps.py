"""Gaps between characters, with a model's increments and predictions at each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError, TextError
from howfar.measures.boundaries.targets import Target
from howfar.progress import Progress
from howfar.reading import Trace, trace_many
from howfar.text.segmentation import Segmentation
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Gaps:
    """Gaps of some texts, in order; numbers are in positions or nats."""

    is_boundary: NDArray[np.bool_]  # [gap]
    texts: NDArray[np.int64]  # [gap]: index into `traces`
    documents: NDArray[np.int64]  # [gap]: the text's document, which may have several texts
    sources: NDArray[np.int64]  # [gap]: number of the text's source; gaps of different sources are not compared
    tokens: NDArray[np.int64]  # [gap]: the first token after it; before a word, it may begin with blanks
    num_tokens: NDArray[np.int64]  # [gap]: of the character (or token) after
    characters: NDArray[np.int64]  # [gap]: the character after it, in its text
    previous: NDArray[np.int64]  # [gap]: code point of the character before if tokens are bytes, else the token before
    next_byte: NDArray[np.int64]  # [gap]: the first byte of the first token after
    first_token: NDArray[np.float64]  # [layer, head, gap]: increment of the first token after
    whole_unit: NDArray[np.float64]  # [layer, head, gap]: sum of the increments of the character (or token) after
    token_before: NDArray[np.float64]  # [layer, head, gap]: increment of the token before
    entropy: NDArray[np.float64]  # [gap]: of the model's prediction of the token after
    surprisal: NDArray[np.float64]  # [gap]: of the token after
    unit_surprisal: NDArray[np.float64]  # [gap]: of the whole character (or token) after
    neighbours: NDArray[np.uint32]  # [gap, 4]: code points of two characters before and two after; 0 beyond the text
    num_unseen: int  # gaps that are left out because they lie inside a token
    traces: list[Trace]
    segmentations: list[Segmentation]
    document_of_text: list[int]

    def __len__(self) -> int:
        return len(self.is_boundary)

    def by_text(self) -> Iterator[tuple[Trace, NDArray[np.int64]]]:
        """The texts in order, each with the indices of its gaps."""
        texts, first = np.unique(self.texts, return_index=True)
        for number, members in zip(texts.tolist(), np.split(np.arange(len(self)), first[1:]), strict=True):
            yield self.traces[number], members

    def among(self, chosen: NDArray[np.bool_]) -> Gaps:
        """The gaps that a mask keeps."""
        by_gap: dict[str, Any] = {
            name: value[chosen] if name == "neighbours" else value[..., chosen]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **by_gap)


def find_gaps(
    model: PreTrainedModel,
    segmentations: Iterable[Segmentation],
    target: Target,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_gaps: int,
    progress: Progress | None = None,
) -> Gaps:
    """Read texts, one by one, until one reaches `max_gaps` of the target's gaps.

    Raises:
        NotMeasurableError: The texts have no such gaps, or a boundary lies beyond its text.
        TextError: There are texts without their boundaries.
    """
    read: list[Segmentation] = []
    numbers: list[int] = []
    waiting: deque[NDArray[np.bool_]] = deque()

    def texts() -> Iterator[str]:
        num_gaps, document = 0, -1
        for segmentation in segmentations:
            if not isinstance(segmentation, Segmentation):
                raise TextError(
                    f"a segmentation is needed, but this is a {type(segmentation).__name__}; read some from a file "
                    "with `howfar.text.segmentation.read_spaced` or `read_conllu`"
                )
            document += segmentation.begins_document
            candidates = target.candidates(segmentation.text)
            if num_gaps >= max_gaps:
                return
            if candidates.any():
                num_gaps += int(candidates.sum())
                read.append(segmentation)
                numbers.append(document)
                waiting.append(candidates)
                yield segmentation.text

    of_bytes = is_byte_tokenizer(tokenizer)
    parts, traces, done = [], [], 0
    for number, trace in enumerate(trace_many(model, texts(), tokenizer)):
        traces.append(trace)
        parts.append(_gaps_of(trace, read[number], waiting.popleft(), number, of_bytes))
        done += len(parts[-1]["tokens"])
        if progress is not None:
            progress(min(done, max_gaps), max_gaps)
    if not done:
        raise NotMeasurableError(f"no document has {target.absent}; give other text for {target.name!r}")
    arrays = {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}
    num_unseen = int(arrays.pop("num_unseen").sum())
    neighbours = np.ascontiguousarray(arrays.pop("neighbours").T)
    document_of_text = np.unique(numbers, return_inverse=True)[1]
    sources = np.unique([segmentation.source for segmentation in read], return_inverse=True)[1]
    return Gaps(
        **arrays,
        documents=document_of_text[arrays["texts"]],
        sources=sources[arrays["texts"]],
        neighbours=neighbours,
        num_unseen=num_unseen,
        traces=traces,
        segmentations=read,
        document_of_text=document_of_text.tolist(),
    )


def _gaps_of(
    trace: Trace, segmentation: Segmentation, candidates: NDArray[np.bool_], number: int, of_bytes: bool
) -> dict[str, NDArray]:
    """The gaps of one text; gaps are along the last axis of every array."""
    is_boundary = np.zeros(len(trace.text), dtype=bool)
    if not all(0 < boundary < len(trace.text) for boundary in segmentation.boundaries):
        raise NotMeasurableError(
            f"a boundary of {trace.text[:20]!r} lies beyond its {len(trace.text)} characters; "
            "give the segmentation of this text"
        )
    is_boundary[list(segmentation.boundaries)] = True
    starts, visible = np.array(
        [(unit.start_char, unit.end_char - len(unit.text.lstrip() or unit.text)) for unit in trace.units]
    ).T
    # Most subword tokens begin with the space before a word. Where none is looked for at the space, the word counts.
    characters = np.where(candidates[starts], starts, visible)
    first_tokens = np.array([unit.start_token for unit in trace.units], dtype=np.int64)
    units = 1 + np.flatnonzero(candidates[characters[1:]])
    tokens, before = first_tokens[units], characters[units]
    padded = np.frombuffer(f"\0\0{trace.text}\0".encode("utf-32-le"), dtype=np.uint32)
    # If tokens are bytes, the last byte of a character tells little about it, so the whole character counts.
    previous = padded[before + 1] if of_bytes else trace.token_ids[tokens - 1]
    text = np.frombuffer(trace.text.encode(), dtype=np.uint8)
    return {
        "is_boundary": is_boundary[before],
        "texts": np.full(len(units), number),
        "tokens": tokens,
        "num_tokens": np.diff(first_tokens, append=len(trace))[units],
        "characters": before,
        "previous": previous.astype(np.int64),
        "next_byte": text[trace.token_bytes[tokens, 0]].astype(np.int64),
        "first_token": trace.increments[..., tokens].astype(np.float64),
        "whole_unit": trace.unit_gaps()[..., units],
        "token_before": trace.increments[..., tokens - 1].astype(np.float64),
        "entropy": trace.entropy_nats[tokens - 1].astype(np.float64),
        "surprisal": trace.surprisal_nats[tokens].astype(np.float64),
        "unit_surprisal": trace.unit_surprisal_nats()[units],
        "neighbours": np.stack([padded[before + offset] for offset in range(4)]),
        "num_unseen": np.array([candidates.sum() - len(units)]),
    }
