"""Labels of the words of an annotated sentence in CoNLL-U."""

from __future__ import annotations

from collections.abc import Sequence

from howfar.text.conllu import Token, Word

PART_OF_SPEECH, DISTANCE, ENTITY, FEATURE = "part of speech", "dependency distance", "entity", "feature "
ENTITY_NOTES = ("NER", "Entity", "NE")
"""Names of entity annotations in MISC; their values are `B-…`, `I-…` and `O`, or opening and closing brackets."""
ABSENT = "none"


def labels_of(tokens: Sequence[Token]) -> list[dict[str, str]]:
    """The labels of each token of a sentence, by name.

    A multiword token has no labels, because its words differ. Features that a token lacks are omitted, and so is the
    entity label if the sentence has no entity annotations.
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
    """Distance and side of a word's syntactic head."""
    if word.head == 0:
        return "root"
    assert word.head is not None
    distance = abs(word.head - word.number)
    near = "1" if distance == 1 else "2 to 3" if distance <= 3 else "4 or more"
    return f"{near} {'after' if word.head > word.number else 'before'}"


def _entities(tokens: Sequence[Token]) -> list[str | None]:
    """Whether each token begins an entity, is inside one or outside; all None if the sentence has no annotations."""
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
