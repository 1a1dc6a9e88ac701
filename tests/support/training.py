"""Tiny corpora and models to train."""

import random
from pathlib import Path

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.from_text import corpus_from_text
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.models.folders import find_model
from howfar.models.pretrained import load_tokenizer

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "looked",
    "at",
    "birds",
    "near",
    "old",
    "trees",
    "猫",
    "坐",
    "树",
]

MODEL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
INCREMENTS = {"scope": "per_layer", "start": "random"}
TRAINER = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "use_cpu": True,
    "logging_steps": 2,
    "save_steps": 3,
}


def make_corpus(folder: Path, seed: int = 0) -> Corpus:
    generator = random.Random(seed)

    def documents(count: int) -> str:
        return "\n\n".join(" ".join(generator.choices(WORDS, k=30)) for _ in range(count))

    folder.mkdir(parents=True)
    (folder / "train.txt").write_text(documents(20), encoding="utf-8")
    (folder / "dev.txt").write_text(documents(4), encoding="utf-8")
    source = parse_source(f"en={folder / 'train.txt'},held_out={folder / 'dev.txt'}")
    return build_corpus(folder / "corpus", [source], BuildOptions(), progress=False)


def text_corpus(sources: list[str], base: str, folder: Path) -> Corpus:
    """A corpus of text in the tokens of a model."""
    return corpus_from_text(sources, load_tokenizer(find_model(base)), folder)
