"""Graft learned positions onto a pretrained model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback, set_seed

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import MANIFEST, Corpus
from howfar.corpus.encoding import DocumentEncoder, is_tokenized_by
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.corpus.windows import Windows
from howfar.errors import ConfigError, CorpusError, HowFarError, InUseError, OutputError
from howfar.models.configuration import HowFarConfig
from howfar.models.description import read_description
from howfar.models.disguise import GRAFT_FILE
from howfar.models.folders import find_model, read_config
from howfar.models.graft_card import LABELS, write_card
from howfar.models.lora import add_lora
from howfar.models.origin import remember_base
from howfar.models.pretrained import is_gguf, load_pretrained, load_tokenizer
from howfar.positions import attach
from howfar.text.marks import choose_mark, document_mark
from howfar.training.checkpoints import check_folder, write_record
from howfar.training.evaluation import document_losses
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_trainer import GraftTrainer
from howfar.training.identity import Reading, check_identical
from howfar.training.run import carry_out, folder_of_run
from howfar.training.runs import Run, training_arguments

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHECKED_WINDOWS = 2
HELD_OUT_SHARE = 0.05


def graft(
    recipe: GraftRecipe,
    output: str | Path,
    *,
    text: Sequence[str] = (),
    mark: int | str | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> PreTrainedModel:
    """Add learned positions to a pretrained model and train them; or continue an interrupted run.

    At the start the model equals the base model, bit for bit; otherwise the run does not start.

    Args:
        recipe: The base model, what of it is trained, the data, and the training options.
        output: Folder of the run: checkpoints during training, the graft at the end, the baseline in `baseline`.
        text: Sources to build the recipe's corpus from first, written as for `corpus_from_text`. If the run then cannot
            start, the corpus is removed again.
        mark: The token between the documents of such text, as for `howfar.text.marks.choose_mark`; of a corpus it is
            what the corpus was built with.
        callbacks: More callbacks for Transformers' Trainer, also for the baseline.
        progress: Whether to write progress to standard error.

    Returns:
        The grafted model, in eval mode. `training.json` in `output` has the losses of the base, the graft and the
        baseline on the same held-out documents.

    Raises:
        CheckpointError: The folder holds another run, or a file of the base model is damaged.
        ConfigError: The recipe asks for something that the model or the trainer cannot do.
        CorpusError: The corpus or a source is missing or damaged, tokenized otherwise, or shorter than a window.
        IdentityError: The model with fresh increments differs from its base.
        MissingExtraError: PEFT or the reader of GGUF files is needed and not installed.
        ModelNotFoundError: The base model does not exist.
        InUseError: Another process writes the same run or builds its corpus.
        OutputError: The folder cannot be written, holds something else, or is the base model's own.
        TextError: The base model's tokenizer has no such mark.
        UnsupportedModelError: The base model has no rotary positions.
    """
    output = Path(output)
    with folder_of_run(output), _given(recipe, text, mark, output) as given:
        losses: dict[str, Any] = {}
        if recipe.baseline and recipe.train != "increments":  # otherwise the baseline is the base itself
            plain = dataclasses.replace(recipe, name=f"{recipe.name}-baseline", increments=None, baseline=False)
            check_folder(output / "baseline")
            with folder_of_run(output / "baseline"):
                losses["baseline"] = _run(plain, given, output / "baseline", callbacks, progress)[1].get("held_out")
        model, record, losses["base"] = _run(recipe, given, output, callbacks, progress)
        losses["graft"] = record.get("held_out")
        if torch.distributed.is_initialized() and torch.distributed.get_rank():
            return model
        training = {**record, "losses": {name: losses[name] for name in LABELS if losses.get(name)}}
        write_record(output, training)
        write_card(output, read_description(output), training)
    return model


@dataclass(frozen=True)
class _Given:
    """The inputs of a run: the base model's path, its tokenizer, and a corpus of its tokens."""

    path: Path
    tokenizer: PreTrainedTokenizerBase
    corpus: Corpus


@contextmanager
def _given(recipe: GraftRecipe, text: Sequence[str], mark: int | str | None, output: Path) -> Iterator[_Given]:
    """Find or build the inputs; a corpus built for this run is removed if the run cannot start."""
    folder = Path(recipe.corpus)
    corpus = None if text else Corpus.open(folder)  # before a model is downloaded
    path = _find_base(recipe, output)
    tokenizer = load_tokenizer(path)
    if mark is not None:
        choose_mark(tokenizer, mark)
    elif corpus and DocumentEncoder(tokenizer).end_of_document != corpus.end_of_document < len(tokenizer):
        choose_mark(tokenizer, corpus.end_of_document)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield _Given(path, tokenizer, corpus or _build(text, tokenizer, folder))
    except InUseError:  # another process builds the corpus
        raise
    except HowFarError:
        if text and folder in missing and not any(output.rglob("checkpoint-*")):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # not empty: it holds something else to keep
                for place in missing[1:]:
                    place.rmdir()
        raise


def _find_base(recipe: GraftRecipe, output: Path) -> Path:
    """Before any work, refuse models that cannot be a base, and output folders with other content."""
    base, path = recipe.base, find_model(recipe.base, revision=recipe.revision)
    if (path / GRAFT_FILE).is_file():
        raise ConfigError(f"{base} is a graft already; name its base model, or continue its run in its own folder")
    if not is_gguf(path) and read_config(path)[0].get("model_type") == HowFarConfig.model_type:
        raise ConfigError(
            f"{base} is a model that howfar trained from scratch, with its own tokens and positions; name a "
            "pretrained model of another kind, or train one like it with `howfar train`"
        )
    if output.exists() and output.samefile(path):
        raise OutputError(f"{output} is the base model's own folder; choose another output folder")
    check_folder(output)
    return path


def corpus_from_text(sources: Sequence[str], base: str, folder: Path, *, revision: str | None = None) -> Corpus:
    """Build a corpus for a base model directly from text, or open the one that was built before.

    Args:
        sources: Written as for `howfar corpus build`: files, folders, globs, `name=path`.
        base: The pretrained model, for its tokenizer.
        folder: The corpus's folder.
        revision: The model's branch, tag or commit on the Hub.

    Raises:
        ConfigError: The tokenizer has no token to separate documents, or a source is malformed.
        CorpusError: A source cannot be read.
        OutputError: The folder holds another corpus, or cannot be written.
    """
    return _build(sources, load_tokenizer(find_model(base, revision=revision)), folder)


def _build(sources: Sequence[str], tokenizer: PreTrainedTokenizerBase, folder: Path) -> Corpus:
    parsed = [parse_source(source) for source in sources]
    if (folder / MANIFEST).is_file():
        corpus = Corpus.open(folder)
        wanted = [json.loads(json.dumps(source.provenance())) for source in parsed]
        found = [{key: source.get(key) for key in wanted[0]} for source in corpus.manifest["sources"]]
        if found == wanted and corpus.end_of_document == DocumentEncoder(tokenizer).end_of_document:
            return corpus
    options = BuildOptions(held_out_fraction=HELD_OUT_SHARE, balance="none")
    corpus = build_corpus(folder, parsed, options, tokenizer=tokenizer, progress=False)
    train = corpus.train
    if corpus.held_out.num_documents or train.offsets[1] - train.offsets[0] > len(train.tokens) / 2:
        return corpus
    # The share of a few documents may be none. A loss needs one: the first, unless it is most of the text.
    shutil.rmtree(folder)
    options = dataclasses.replace(options, held_out_documents=1)
    return build_corpus(folder, parsed, options, tokenizer=tokenizer, progress=False)


def _run(
    recipe: GraftRecipe, given: _Given, output: Path, callbacks: Sequence[TrainerCallback], progress: bool
) -> tuple[PreTrainedModel, dict[str, Any], dict[str, Any] | None]:
    """Train once; returns the model, the run's record and the base's held-out loss."""
    model, tokenizer, corpus = _load_base(recipe, given), given.tokenizer, given.corpus
    arguments = training_arguments(recipe, output)
    run = Run(recipe=recipe, corpus=corpus, length=recipe.context, arguments=arguments)
    model.to(arguments.device)
    windows = Windows(corpus.train, recipe.context, recipe.seed, CHECKED_WINDOWS)
    checked = torch.from_numpy(np.stack([windows[index] for index in range(len(windows))])).to(arguments.device)
    before = Reading.of(model, checked)
    base_loss = None
    if corpus.held_out.num_documents and recipe.increments is not None:
        losses = document_losses(
            model,
            corpus.held_out,
            length=recipe.context,
            mark=document_mark(tokenizer),
            max_windows=recipe.held_out_windows,
        )
        base_loss = losses.summary()
    set_seed(recipe.seed)
    if recipe.train == "lora":
        add_lora(model, recipe.lora)
    elif recipe.train == "increments":
        model.requires_grad_(False)
    if recipe.increment_config is not None:
        attach(model, recipe.increment_config)
    check_identical(before, Reading.of(model, checked))
    record = carry_out(
        run,
        model,
        tokenizer,
        trainer_class=GraftTrainer,
        max_held_out_windows=recipe.held_out_windows,
        callbacks=callbacks,
        progress=progress,
    )
    return model.eval(), record, base_loss


def _load_base(recipe: GraftRecipe, given: _Given) -> PreTrainedModel:
    corpus = given.corpus
    if not is_tokenized_by(corpus, given.tokenizer):
        raise CorpusError(
            f"the corpus in {recipe.corpus} is tokenized by {corpus.tokenizer_name!r}, but the model has other tokens; "
            f"build it with --tokenizer {recipe.base}, or give the text itself"
        )
    model = load_pretrained(given.path, dtype=recipe.torch_dtype)
    remember_base(model, recipe.base, given.path)
    if (num_tokens := corpus.manifest["tokenizer"]["vocabulary_size"]) > model.config.vocab_size:
        raise CorpusError(
            f"the tokenizer of {recipe.base} has {num_tokens:,} ids, but its model only "
            f"{model.config.vocab_size:,}; use a tokenizer that fits the model"
        )
    return model
