"""Graft learned positions onto a pretrained model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, set_seed

from howfar.corpus.corpus import Corpus
from howfar.corpus.encoding import is_tokenized_by
from howfar.corpus.from_text import corpus_from_text
from howfar.corpus.windows import Windows
from howfar.errors import ConfigError, CorpusError, HowFarError, InUseError, OutputError
from howfar.foreign import first_line
from howfar.models.configuration import HowFarConfig
from howfar.models.description import read_description
from howfar.models.disguise import GRAFT_FILE
from howfar.models.folders import find_model, read_config
from howfar.models.graft_card import LABELS, write_card
from howfar.models.lora import add_lora, is_adapter
from howfar.models.origin import remember_base
from howfar.models.pretrained import is_gguf, load_pretrained, load_tokenizer
from howfar.positions import attach
from howfar.text.marks import choose_mark, take_mark
from howfar.training.checkpoints import check_folder, write_record
from howfar.training.evaluation import held_out_losses
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_trainer import GraftTrainer
from howfar.training.identity import left_identical
from howfar.training.run import fit, folder_of_run, new_folders
from howfar.training.runs import Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHECKED_WINDOWS = 2


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
        text: Sources to build the recipe's corpus from first, written as for `howfar corpus build`. If the run then
            cannot start, the corpus is removed again.
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
            plain = recipe.plain(name=f"{recipe.name}-baseline", baseline=False)
            check_folder(output / "baseline")  # before the base is loaded
            _, record, _ = _run(plain, given, output / "baseline", callbacks, progress)
            losses["baseline"] = record.get("held_out")
        model, record, losses["base"] = _run(recipe, given, output, callbacks, progress)
        losses["graft"] = record.get("held_out")
        if torch.distributed.is_initialized() and torch.distributed.get_rank():
            return model
        training = _with_losses(record, losses)
        if training != record:
            write_card(output, read_description(output), training)
            write_record(output, training)
    return model


def _with_losses(record: dict[str, Any], losses: dict[str, Any]) -> dict[str, Any]:
    """A run's record with all losses; those of a finished run stay, and a baseline may join them."""
    found = {**losses, **record.get("losses", {})}
    recipe = {**record["recipe"], "baseline": record["recipe"].get("baseline") or "baseline" in losses}
    return {**record, "recipe": recipe, "losses": {name: found[name] for name in LABELS if found.get(name)}}


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
    elif corpus:
        take_mark(tokenizer, corpus.end_of_document)
    is_new = not folder.exists()
    with new_folders(folder):
        try:
            yield _Given(path, tokenizer, corpus or corpus_from_text(text, tokenizer, folder))
        except InUseError:  # another process builds the corpus
            raise
        except HowFarError:
            if text and is_new and not any(output.rglob("checkpoint-*")):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _find_base(recipe: GraftRecipe, output: Path) -> Path:
    """Before any work, refuse models that cannot be a base, and output folders with other content."""
    base, path = recipe.base, find_model(recipe.base, revision=recipe.revision)
    if recipe.revision is not None and Path(base).expanduser().exists():
        raise ConfigError(
            f"recipe: revision is {recipe.revision!r}, but {base} is a model here, which has no revisions; leave it out"
        )
    if (path / GRAFT_FILE).is_file():
        raise ConfigError(f"{base} is a graft already; name its base model, or continue its run in its own folder")
    if is_adapter(path):
        raise ConfigError(
            f"{base} is only an adapter, without its base model; merge the two, save the merged model, and name that"
        )
    if not is_gguf(path) and read_config(path)[0].get("model_type") == HowFarConfig.model_type:
        raise ConfigError(
            f"{base} is a model that howfar trained from scratch, with its own tokens and positions; name a "
            "pretrained model of another kind, or train one like it with `howfar train`"
        )
    if output.exists() and output.samefile(path):
        raise OutputError(f"{output} is the base model's own folder; choose another output folder")
    check_folder(output)
    return path


def _run(
    recipe: GraftRecipe, given: _Given, output: Path, callbacks: Sequence[TrainerCallback], progress: bool
) -> tuple[PreTrainedModel, dict[str, Any], dict[str, Any] | None]:
    """Train once; returns the model, the run's record and the base's held-out loss."""
    tokenizer, corpus, length, scored = given.tokenizer, given.corpus, recipe.context, recipe.held_out_windows
    run = Run(recipe=recipe, corpus=corpus, output=output, length=length)
    model = _load_base(recipe, given).to(run.arguments.device)
    losses = None
    if recipe.increments is not None:
        losses = held_out_losses(model, tokenizer, corpus, length=length, max_windows=scored)
    with left_identical(model, Windows(corpus.train, length, recipe.seed, CHECKED_WINDOWS)):
        set_seed(recipe.seed)
        if recipe.train == "lora":
            add_lora(model, recipe.lora)
        elif recipe.train == "increments":
            model.requires_grad_(False)
        if recipe.increment_config is not None:
            attach(model, recipe.increment_config)
    record = fit(
        run,
        model,
        tokenizer,
        trainer_class=GraftTrainer,
        max_held_out_windows=scored,
        callbacks=callbacks,
        progress=progress,
    )
    return model.eval(), record, None if losses is None else losses.summary()


def _load_base(recipe: GraftRecipe, given: _Given) -> PreTrainedModel:
    corpus = given.corpus
    if not is_tokenized_by(corpus, given.tokenizer):
        raise CorpusError(
            f"the corpus in {recipe.corpus} is tokenized by {corpus.tokenizer_name!r}, but the model has other tokens; "
            f"build it with --tokenizer {recipe.base}, or give the text itself"
        )
    model = load_pretrained(given.path, dtype=recipe.dtype)
    remember_base(model, recipe.base, given.path)
    _check_settings(model, recipe)
    if (num_tokens := corpus.manifest["tokenizer"]["vocabulary_size"]) > model.config.get_text_config().vocab_size:
        raise CorpusError(
            f"the tokenizer of {recipe.base} has {num_tokens:,} ids, but its model only "
            f"{model.config.get_text_config().vocab_size:,}; use a tokenizer that fits the model"
        )
    return model


def _check_settings(model: PreTrainedModel, recipe: GraftRecipe) -> None:
    """Refuse increments, which a load leaves out, and settings that Transformers reads but does not write."""
    if getattr(model.config.get_text_config(), "increments", None) is not None:
        raise ConfigError(f"{recipe.base} has increments already, which a graft would replace; name its base model")
    if recipe.train != "full":
        return
    try:
        model.generation_config.validate(strict=True)
    except ValueError as error:
        raise ConfigError(
            f"Transformers does not save weights with the settings for generation of {recipe.base} "
            f"({first_line(error)}); correct generation_config.json in a copy of the model, or set train = 'lora'"
        ) from error
