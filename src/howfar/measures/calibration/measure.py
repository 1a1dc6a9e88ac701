"""An instrument check: what `boundaries` finds in small models of text whose units are known.

A null is worth what the instrument would have found, had there been something. Tiny models are trained, with the same
training code as any model, on the made-up text of `howfar.measures.calibration.planted`. In them `boundaries` looks for
units that are known to be there, and for units that are known not to be there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
from howfar.progress import Progress
from howfar.training.evaluation import document_losses
from howfar.training.recipe import Recipe
from howfar.training.run import train

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

TARGET = "words"
"""Asked of gaps before every character that is not blank."""

CEILING = "entropy of the generator"
"""The score of who knows how the text was made."""


_FIRST_SCORES = (CEILING, "increment", "entropy", "surprisal")
"""What the other scores stand behind in the table."""


@dataclass(frozen=True)
class Setup:
    """Sizes of texts and models.

    Attributes:
        num_units: Units in the lexicon.
        num_training_documents: Documents to train on.
        num_documents: Documents to measure on.
        num_characters: In each of them, at least.
        model: Sizes of the model, as in a recipe's `[model]`.
        num_steps: Training steps,
        batch_size: of so many windows.
    """

    num_units: int = 32
    num_training_documents: int = 4000
    num_documents: int = 40
    num_characters: int = 300
    model: tuple[tuple[str, int], ...] = (
        ("hidden_size", 64),
        ("intermediate_size", 128),
        ("num_hidden_layers", 3),
        ("num_attention_heads", 2),
        ("max_position_embeddings", 128),
    )
    num_steps: int = 400
    batch_size: int = 8

    def recipe(self, kind: Kind, corpus: Path, seed: int) -> Recipe:
        """How to train a model on a corpus."""
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
    """Train tiny models on text with known units, and find out what of them is recovered.

    Args:
        kinds: Kinds of text: `marked`, `predictable`, `random`.
        num_seeds: Models of each kind, each with a lexicon of its own; about half a minute of one core each.
        seed: Of the first; the others follow.
        setup: Sizes, where they are to be others.
        progress: Called with how many models are done and how many there are.

    Returns:
        One row per score of each model, as `boundaries` has them, with `text` (the kind of text), `seed`, `planted`
        (whether the boundaries asked about are there to be found) and `verdict`: whether the interval lies above 0.5
        (`found`), below (`found, reversed`: lower where a unit begins) or on both sides (`not found`). Where nothing
        was planted these read `nothing, rightly` and `false alarm`, of which there is one in twenty by the nature of
        95% intervals; those of increments hold for all layers at once. `predictable` text is asked about twice: with
        its boundaries, and with random boundaries, which are not there to be found. The score `entropy of
        the generator` is the ceiling. Rows of the quantity `excess loss` say by how many nats per byte the model
        predicts the text worse than one who knows how it was made: a model that did not learn the text cannot tell of
        its units.

    Raises:
        ConfigError: There is no such kind, or no seed.
    """
    import polars as pl

    if num_seeds < 1 or not kinds or (unknown := [kind for kind in kinds if kind not in KINDS]):
        got = f"{num_seeds} seeds of {', '.join(unknown) if num_seeds > 0 and kinds else 'kinds ' + repr(list(kinds))}"
        raise ConfigError(f"calibration with {got}; give 1 seed or more and kinds from {', '.join(KINDS)}")
    setup = setup or Setup()
    tables = []
    for number, (each_seed, kind) in enumerate((s, k) for s in range(seed, seed + num_seeds) for k in kinds):
        if progress is not None:
            progress(number, num_seeds * len(kinds))
        tables.append(_of_model(kind, each_seed, setup))
    if progress is not None:
        progress(num_seeds * len(kinds), num_seeds * len(kinds))
    return pl.concat(tables).sort(~pl.col("score").fill_null(CEILING).is_in(_FIRST_SCORES), maintain_order=True)


def _of_model(kind: Kind, seed: int, setup: Setup) -> pl.DataFrame:
    import polars as pl

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
            by_lot = [with_random_boundaries(generator, document) for document in documents]
            tables.append(scores(model, corpus, by_lot, planted=False, seed=seed))
    return pl.concat(tables, how="diagonal").select(pl.lit(kind).alias("text"), pl.lit(seed).alias("seed"), pl.all())


def _corpus(folder: Path, trained_on: Sequence[PlantedDocument], documents: Sequence[PlantedDocument]) -> Corpus:
    files = {"trained_on.txt": trained_on, "documents.txt": documents}
    for name, own in files.items():
        (folder / name).write_text("\n\n".join(document.text for document in own), encoding="utf-8")
    first, second = (LocalFiles(str(folder / name)) for name in files)
    return build_corpus(folder / "corpus", [Source("planted", first, second)], progress=False)


def excess_loss(
    model: PreTrainedModel, corpus: Corpus, documents: Sequence[PlantedDocument], *, seed: int = 0
) -> pl.DataFrame:
    """By how much a model predicts documents worse than who knows how they were made.

    Args:
        model: The model.
        corpus: Its held-out part is the documents.
        documents: The documents.
        seed: Of the interval.
    """
    losses = document_losses(model, corpus.held_out, length=int(model.config.max_position_embeddings))
    least = np.array([document.surprisal_nats.sum() for document in documents])
    found = statistics.ratio(losses.nats - least, losses.num_bytes, seed=seed)
    return _table([{"quantity": "excess loss", **found.row(), "n": found.num_documents}])


def scores(
    model: PreTrainedModel, corpus: Corpus, documents: Sequence[PlantedDocument], *, planted: bool, seed: int = 0
) -> pl.DataFrame:
    """What `boundaries` says of a model, and whether that is right.

    Args:
        model: A model with increments.
        corpus: What it was trained on.
        documents: What to measure on.
        planted: Whether their boundaries are there to be found.
        seed: Of the intervals.
    """
    import polars as pl

    segmentations = [document.segmentation for document in documents]
    found = boundaries(model, segmentations, target=TARGET, corpus=corpus, max_gaps=2**62, seed=seed)
    # A letter is one byte: as a whole character it says nothing new.
    found = found.filter(pl.col("scored_at").ne_missing("whole character"))
    found = found.filter(pl.col("score") != "surprisal of the whole unit")
    rows = [_ceiling(documents, seed), *found.drop("target", "note").iter_rows(named=True)]
    return _table([row | {"planted": planted, "verdict": verdict(row, planted)} for row in rows])


def _ceiling(documents: Sequence[PlantedDocument], seed: int) -> dict[str, Any]:
    gaps = [before_visible(document.text) for document in documents]
    labels = np.concatenate([_begins(document)[own] for document, own in zip(documents, gaps, strict=True)])
    entropies = np.concatenate([document.entropy_nats[own] for document, own in zip(documents, gaps, strict=True)])
    which = np.repeat(np.arange(len(documents)), [int(own.sum()) for own in gaps])
    auc = statistics.roc_auc(entropies, labels, which, seed=seed)
    return {
        "quantity": "auc",
        "score": CEILING,
        "value": float(auc.value),
        "low": float(auc.low),
        "high": float(auc.high),
        "num_gaps": len(labels),
        "num_boundaries": int(labels.sum()),
        "n": auc.num_documents,
    }


def _begins(document: PlantedDocument) -> NDArray[np.bool_]:
    begins = np.zeros(len(document.text), dtype=bool)
    begins[list(document.segmentation.boundaries)] = True
    return begins


def verdict(row: dict[str, Any], planted: bool) -> str | None:
    """What a row's interval says, in words.

    Args:
        row: Of the table of `boundaries`.
        planted: Whether there was something to find.

    Returns:
        None for what increments add to other scores where boundaries are planted: they need not add anything; and
        where there is no interval.
    """
    if planted and row["quantity"] == "auc gain":
        return None
    if row.get("low") is None:
        return None
    together = row.get("low_together") is not None
    low, high = (row[f"{end}_together" if together else end] for end in ("low", "high"))
    nothing = 0.0 if row["quantity"] == "auc gain" else 0.5
    if low <= nothing <= high:
        return "not found" if planted else "nothing, rightly"
    if not planted:
        return "false alarm"
    return "found" if low > nothing else "found, reversed"


def _table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = {"planted": pl.Boolean, "quantity": pl.String, "score": pl.String, "scored_at": pl.String}
    schema |= {"layer": pl.Int64, "head": pl.Int64}
    schema |= dict.fromkeys(("value", "low", "high", "low_together", "high_together", "p_together"), pl.Float64)
    schema |= dict.fromkeys(("num_gaps", "num_boundaries", "n"), pl.Int64)
    return pl.DataFrame(rows, schema=schema | {"verdict": pl.String, "note": pl.String})


def _run(model: None, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Of models that it trains."""
    return calibration(seed=inputs.seed, progress=progress, **inputs.sized("num_seeds"))


MEASURE = Measure(
    name="calibration",
    question="What does `boundaries` find in models of text whose units are known, and in text that has none?",
    run=_run,
    value="ROC-AUC, gain of an AUC, or loss beyond the least possible in nats per byte",
    counts="documents",
    columns=("text", "seed", "planted", "quantity", "score", "scored_at", "layer", "value [low, high]", "verdict"),
    needs=(),
    sample="seeds",
    of_model=False,
)
