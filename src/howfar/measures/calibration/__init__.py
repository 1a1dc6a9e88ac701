"""An instrument check: what `boundaries` finds in small models of synthetic text whose units are known.

A null result is only informative if the instrument would have found an effect. So tiny models are trained, by the same
code as any model, on the synthetic text of `howfar.measures.calibration.planted`. In them, `boundaries` looks for units
that are known to be there, and for units that are known not to be there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.sources import LocalFiles, Source
from howfar.errors import ConfigError
from howfar.measures import statistics
from howfar.measures.boundaries import boundaries
from howfar.measures.boundaries.targets import before_visible
from howfar.measures.calibration.planted import KINDS, Kind, Lexicon, PlantedDocument, maker_of, with_random_boundaries
from howfar.measures.declaration import Measure
from howfar.measures.inputs import Inputs
from howfar.measures.tables import Row, table
from howfar.progress import Progress, followed
from howfar.training.evaluation import document_losses
from howfar.training.recipe import Recipe
from howfar.training.run import train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TARGET = "words"
"""Gaps before every character that is not blank are scored."""

CEILING = "entropy of the generator"
"""The score with full knowledge of how the text was made."""

_FIRST_SCORES = (CEILING, "increment", "entropy", "surprisal")
"""Scores that come first in the table."""


@dataclass(frozen=True)
class Setup:
    """Sizes of texts and models."""

    num_units: int = 32  # in the lexicon
    num_training_documents: int = 4000
    num_documents: int = 40  # to measure on
    num_characters: int = 300  # the fewest in a document
    model: tuple[tuple[str, int], ...] = (  # as in a recipe's `[model]`
        ("hidden_size", 64),
        ("intermediate_size", 128),
        ("num_hidden_layers", 3),
        ("num_attention_heads", 2),
        ("max_position_embeddings", 128),
    )
    num_steps: int = 400
    batch_size: int = 8  # windows in a step

    def recipe(self, kind: Kind, corpus: Path, seed: int) -> Recipe:
        """The recipe to train a model on a corpus."""
        return Recipe(
            name=f"calibration-{kind}",
            corpus=str(corpus),
            seed=seed,
            increment_learning_rate=3e-3,
            model=dict(self.model),
            increments={"scope": "per_layer", "bound": "sigmoid", "max_increment": 10.0, "start": "random"},
            trainer={
                "max_steps": self.num_steps,
                "per_device_train_batch_size": self.batch_size,
                "learning_rate": 5e-3,
                "weight_decay": 0.01,
                "adam_beta2": 0.98,
                "warmup_steps": min(20, self.num_steps),
                "lr_scheduler_type": "cosine",
                "use_cpu": True,  # so that the same seed gives the same numbers
                "save_strategy": "no",
            },
        )


def calibration(
    *,
    kinds: Sequence[Kind] = KINDS,
    num_seeds: int = 1,
    seed: int = 0,
    setup: Setup | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Train tiny models on text with known units, and measure how well `boundaries` recovers the units.

    Args:
        kinds: Kinds of text: `marked`, `predictable`, `random`.
        num_seeds: Models of each kind, each with its own lexicon; each takes about half a minute on one core.
        seed: The first seed; the others follow.
        setup: Sizes of texts and models; the defaults where None.

    Returns:
        One row per score of each model, as in `boundaries`, with `text` (the kind of text), `seed`, `planted` (whether
        the boundaries are really there) and `verdict`. If boundaries were planted, the verdict is `found` (the interval
        lies above 0.5), `found, reversed` (below: lower where a unit begins) or `not found`. Otherwise it is
        `nothing, rightly` or `false alarm`, of which one in twenty is expected with 95% intervals. Verdicts about
        increments use the interval that is simultaneous for all layers. `predictable` text is measured twice: with its
        boundaries, and with random boundaries, which were not planted. The score `entropy of the generator` is the
        ceiling. Rows of the quantity `excess loss` are the model's loss minus the least possible loss, in nats per
        byte: a model that did not learn the text cannot tell its units.

    Raises:
        ConfigError: A kind is unknown, or there is no seed.
    """
    if num_seeds < 1 or not kinds or (unknown := [kind for kind in kinds if kind not in KINDS]):
        got = f"{num_seeds} seeds of {', '.join(unknown) if num_seeds > 0 and kinds else 'kinds ' + repr(list(kinds))}"
        raise ConfigError(f"calibration with {got}; give 1 seed or more and kinds from {', '.join(KINDS)}")
    setup = setup or Setup()
    models = list(product(range(seed, seed + num_seeds), kinds))
    if progress is not None:
        progress(0, len(models))
    tables = [_of_model(kind, each_seed, setup) for each_seed, kind in followed(models, progress, len(models))]
    return pl.concat(tables).sort(~pl.col("score").fill_null(CEILING).is_in(_FIRST_SCORES), maintain_order=True)


def _of_model(kind: Kind, seed: int, setup: Setup) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    make = maker_of(kind, Lexicon.draw(generator, setup.num_units))
    trained_on = [make(generator, setup.num_characters) for _ in range(setup.num_training_documents)]
    documents = [make(generator, setup.num_characters) for _ in range(setup.num_documents)]
    with tempfile.TemporaryDirectory(prefix="howfar-calibration-") as folder:
        corpus = _corpus(Path(folder), trained_on, documents)
        recipe = setup.recipe(kind, corpus.folder, seed)
        model = train(recipe, Path(folder, "run"), progress=False)
        tables = [
            excess_loss(model, corpus, documents, seed=seed),
            scores(model, corpus, documents, planted=kind != "random", seed=seed),
        ]
        if kind == "predictable":
            not_planted = [with_random_boundaries(generator, document) for document in documents]
            tables.append(scores(model, corpus, not_planted, planted=False, seed=seed))
    return pl.concat(tables, how="diagonal").select(pl.lit(kind).alias("text"), pl.lit(seed).alias("seed"), pl.all())


def _corpus(folder: Path, trained_on: Sequence[PlantedDocument], documents: Sequence[PlantedDocument]) -> Corpus:
    files = {"trained_on.txt": trained_on, "documents.txt": documents}
    for name, texts in files.items():
        (folder / name).write_text("\n\n".join(document.text for document in texts), encoding="utf-8")
    first, second = (LocalFiles(str(folder / name)) for name in files)
    return build_corpus(folder / "corpus", [Source("planted", first, second)], progress=False)


def excess_loss(
    model: PreTrainedModel, corpus: Corpus, documents: Sequence[PlantedDocument], *, seed: int = 0
) -> pl.DataFrame:
    """The model's loss on documents, which are held out of the corpus, minus the least that their generator allows."""
    losses = document_losses(model, corpus.held_out, length=int(model.config.max_position_embeddings))
    least = np.array([document.surprisal_nats.sum() for document in documents])
    found = statistics.ratio(losses.nats - least, losses.num_bytes, seed=seed)
    return _table([{"quantity": "excess loss", **found.row(), "n": found.num_documents}])


def scores(
    model: PreTrainedModel, corpus: Corpus, documents: Sequence[PlantedDocument], *, planted: bool, seed: int = 0
) -> pl.DataFrame:
    """The result of `boundaries` for a model and its training corpus, with verdicts; the documents are measured on."""
    segmentations = [document.segmentation for document in documents]
    found = boundaries(model, segmentations, target=TARGET, corpus=corpus, max_gaps=2**62, seed=seed)
    # A letter is one byte, so rows of the whole character repeat those of the byte.
    found = found.filter(pl.col("scored_at").ne_missing("whole character"))
    found = found.filter(pl.col("score") != "surprisal of the whole unit")
    rows = [_ceiling(documents, seed), *found.drop("target", "note").iter_rows(named=True)]
    return _table([row | {"planted": planted, "verdict": verdict(row, planted)} for row in rows])


def _ceiling(documents: Sequence[PlantedDocument], seed: int) -> Row:
    labels, entropies, which = [], [], []
    for number, document in enumerate(documents):
        gap = before_visible(document.text)
        labels.append(np.isin(np.flatnonzero(gap), document.segmentation.boundaries))
        entropies.append(document.entropy_nats[gap])
        which.append(np.full(gap.sum(), number))
    begins = np.concatenate(labels)
    auc = statistics.roc_auc(np.concatenate(entropies), begins, np.concatenate(which), seed=seed)
    row = {"quantity": "auc", "score": CEILING, **auc.row(), "n": auc.num_documents}
    return row | {"num_gaps": len(begins), "num_boundaries": int(begins.sum())}


def verdict(row: Row, planted: bool) -> str | None:
    """The verdict of a row of `boundaries` by its interval.

    None if there is no interval, and for the gain from increments if boundaries were planted: other scores may tell
    them as well, so there need not be a gain.
    """
    if row.get("low") is None or (planted and row["quantity"] == "auc gain"):
        return None
    together = row.get("low_together") is not None
    low, high = (row[f"{end}_together" if together else end] for end in ("low", "high"))
    null = 0.0 if row["quantity"] == "auc gain" else 0.5
    if low <= null <= high:
        return "not found" if planted else "nothing, rightly"
    if not planted:
        return "false alarm"
    return "found" if low > null else "found, reversed"


def _table(rows: Sequence[Row]) -> pl.DataFrame:
    return table(
        rows,
        *((bool, "planted"), (str, "quantity score scored_at"), (int, "layer head")),
        *((float, "value low high low_together high_together p_together"), (int, "num_gaps num_boundaries n")),
        (str, "verdict"),
    )


def _run(model: None, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """The measure trains its own models."""
    return calibration(progress=progress, **inputs.options(sample="num_seeds"))


MEASURE = Measure(
    name="calibration",
    question="Does `boundaries` find units that are known to be there, and none where there are none?",
    run=_run,
    value="ROC-AUC, gain of an AUC, or excess loss in nats per byte",
    counts="documents",
    columns=("text", "seed", "planted", "quantity", "score", "scored_at", "layer", "value [low, high]", "verdict"),
    needs=(),
    sample="seeds",
    of_model=False,
)
