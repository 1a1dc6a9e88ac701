"""What is known of the words of a text, as labels: from CoNLL-U, or from source code itself."""

from __future__ import annotations

from collections.abc import Sequence

from howfar.text.conllu import Token, Word

PART_OF_SPEECH, DISTANCE, ENTITY, FEATURE = "part of speech", "dependency distance", "entity", "feature "
ENTITY_NOTES = ("NER", "Entity", "NE")
"""Names in MISC under which entities stand: `B-…`, `I-…` and `O`, or brackets that open and close."""
ABSENT = "none"


def labels_of(tokens: Sequence[Token]) -> list[dict[str, str]]:
    """What is known of each token of a sentence, by the name of the label.

    A multiword token has no labels: its words differ. A feature that a token lacks is not among its labels, nor is an
    entity where the sentence's file may not say which they are.
    """
    entities = _entities(tokens)
    found = []
    for token, entity in zip(tokens, entities, strict=True):
        labels: dict[str, str] = {}
        if len(token.words) == 1:
            word = token.words[0]
            if word.part_of_speech is not None:
                labels[PART_OF_SPEECH] = word.part_of_speech
            if word.head is not None:
                labels[DISTANCE] = _distance(word)
            if entity is not None:
                labels[ENTITY] = entity
            labels |= {FEATURE + name: value for name, value in word.features.items()}
        found.append(labels)
    return found


def _distance(word: Word) -> str:
    """How far away, and on which side, the word stands that a word depends on."""
    if word.head == 0:
        return "root"
    assert word.head is not None
    distance = abs(word.head - word.number)
    near = "1" if distance == 1 else "2 to 3" if distance <= 3 else "4 or more"
    return f"{near} {'after' if word.head > word.number else 'before'}"


def _entities(tokens: Sequence[Token]) -> list[str | None]:
    """Whether each token begins an entity, is inside one or outside; None where no note of the sentence says."""
    notes = [next((word.notes[n] for word in t.words for n in ENTITY_NOTES if n in word.notes), "") for t in tokens]
    if not any(notes):
        return [None] * len(tokens)
    found: list[str | None] = []
    depth = 0
    for note in notes:
        begins = "(" in note or note[:2] in ("B-", "S-", "U-") or note == "B"
        inside = depth > 0 or note[:2] in ("I-", "E-", "L-") or note == "I"
        found.append("begins" if begins else "inside" if inside else "outside")
        depth = max(0, depth + note.count("(") - note.count(")"))
    return found
